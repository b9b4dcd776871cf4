import { clusterKindNames, type ClusterKind } from '../../src/api/cluster-kinds.ts';
import { structuralSchema, type StructuralSchema } from '../../src/api/structural-schema.ts';
import { fullExamples, type JsonObject } from './kind-examples.ts';

/** An object that breaks one constraint of its kind's schema, and how it is refused. */
export interface Violation {
  readonly name: string;
  readonly kind: ClusterKind;
  readonly object: JsonObject;
  readonly field: string;
  readonly message: string;
}

type Path = readonly (string | number)[];
interface Spoiled {
  readonly constraint: string;
  /** What takes the place of the value; undefined takes the field away. */
  readonly value: unknown;
  /** Where the problem is reported, below the value. */
  readonly below?: string;
  readonly message: string;
}

/** One object for every constraint in the schema of every kind, made by spoiling one field of a complete example. */
export function schemaViolations(): Violation[] {
  return clusterKindNames.flatMap((kind) =>
    placesIn(structuralSchema(kind), fullExamples[kind], []).flatMap(({ schema, value, path, required }) =>
      spoil(schema, value, required).map(({ constraint, value: spoiled, below = '', message }) => ({
        name: `${kind} ${textOf(path)}: ${constraint}`,
        kind,
        object: replaced(fullExamples[kind], path, spoiled) as JsonObject,
        field: `${textOf(path)}${below}`,
        message,
      })),
    ),
  );
}

interface Placed {
  readonly schema: StructuralSchema;
  readonly value: unknown;
  readonly path: Path;
  readonly required: boolean;
}

/** Every place of spec and status that has a schema; of a list its first item. */
function placesIn(schema: StructuralSchema, value: unknown, path: Path, required = false): Placed[] {
  if (value === undefined) throw new Error(`the complete example lacks ${textOf(path)}`);
  const self = path.length === 0 ? [] : [{ schema, value, path, required }];
  const inItems = schema.items === undefined ? [] : placesIn(schema.items, (value as unknown[])[0], [...path, 0]);
  const names = Object.keys(schema.properties ?? {}).filter((name) => path.length > 0 || /^(spec|status)$/.test(name));
  const inProperties = names.flatMap((name) => {
    const member = schema.properties?.[name];
    const isRequired = schema.required?.includes(name) ?? false;
    return member === undefined
      ? []
      : placesIn(member, Reflect.get(value as object, name), [...path, name], isRequired);
  });
  return [...self, ...inItems, ...inProperties];
}

function spoil(schema: StructuralSchema, value: unknown, required: boolean): Spoiled[] {
  return [
    ...(required ? [{ constraint: 'required', value: undefined, message: 'is required' }] : []),
    wrongType(schema),
    ...spoilObject(schema, value),
    ...spoilList(schema, value),
    ...spoilText(schema),
    ...spoilNumber(schema),
  ];
}

const TYPE_WORDS = {
  object: 'an object',
  array: 'a list',
  string: 'a string',
  integer: 'a whole number',
  boolean: 'true or false',
};

function wrongType({ type, enum: values }: StructuralSchema): Spoiled {
  if (values !== undefined) return { constraint: 'type', value: 7, message: oneOf(values) };
  if (type === 'integer') return { constraint: 'type', value: 1.5, message: 'must be a whole number, not 1.5' };
  if (type === 'string') return { constraint: 'type', value: 7, message: 'must be a string, not 7' };
  return { constraint: 'type', value: 'text', message: `must be ${TYPE_WORDS[type]}, not the string "text"` };
}

const oneOf = (values: readonly string[]): string =>
  values.length === 1 ? `must be "${values[0]}"` : `must be one of ${values.map((v) => `"${v}"`).join(', ')}`;

function spoilObject({ type, properties, additionalProperties }: StructuralSchema, value: unknown): Spoiled[] {
  if (type !== 'object') return [];
  if (additionalProperties !== undefined) {
    const [key] = Object.keys(value as object);
    const spoiled = spoil(additionalProperties, '', false);
    return spoiled.map((s) => ({ ...s, value: { [key ?? '']: s.value }, below: `.${key}` }));
  }
  const known = Object.keys(properties ?? {});
  const hint = known.length > 0 ? `known here: ${known.join(', ')}` : 'no field is known here';
  const message = `unknown field; ${hint}`;
  return [{ constraint: 'unknown field', value: { ...(value as object), zzzzzz: 1 }, below: '.zzzzzz', message }];
}

function spoilList(schema: StructuralSchema, value: unknown): Spoiled[] {
  if (schema.type !== 'array' || schema.maxItems === undefined) return [];
  const [first] = value as unknown[];
  const keys = schema['x-kubernetes-list-map-keys'];
  const items = Array.from({ length: schema.maxItems + 1 }, (_, i) => distinct(first, keys?.[0], i));
  const tooMany = { constraint: 'maxItems', value: items, message: `must be at most ${schema.maxItems} items long` };
  if (schema['x-kubernetes-list-type'] === undefined) return [tooMany];
  const twice = keys === undefined ? 'is in the list twice' : `has the same ${keys.join(' and ')} as an earlier entry`;
  return [tooMany, { constraint: 'uniqueness', value: [first, first], below: '[1]', message: twice }];
}

/** The item with another identity, so that a list of many breaks no constraint but its length. */
function distinct(item: unknown, key: string | undefined, index: number): unknown {
  if (key === undefined) return `item ${index}`;
  const old: unknown = Reflect.get(item as object, key);
  return { ...(item as object), [key]: typeof old === 'number' ? index % 16 : `item-${index}` };
}

const SPOILED_FORMATS: Readonly<Record<string, readonly [value: string, message: string]>> = {
  'date-time': ['yesterday', 'must be a time such as 2026-01-31T12:00:00Z'],
  '^[A-Za-z][A-Za-z0-9]{0,62}$': ['two words', 'must be one word in PascalCase'],
  '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$': ['-', 'must be lower-case letters, digits and hyphens, such as small-1'],
  '^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$': ['key', 'must be an Ed25519 public key: 43 characters of base64url'],
  '^[0-9]{1,3}[.][0-9]{1,3}$': ['8', 'must be major.minor, such as 8.0'],
};

function spoilText({ enum: values, minLength, maxLength, pattern, format }: StructuralSchema): Spoiled[] {
  const spoiled: Spoiled[] = [];
  if (values !== undefined) spoiled.push({ constraint: 'enum', value: 'Zzzzzz', message: oneOf(values) });
  if (minLength !== undefined) {
    spoiled.push({ constraint: 'minLength', value: '', message: `must be at least ${minLength} character long` });
  }
  if (maxLength !== undefined) {
    const message = `must be at most ${maxLength} characters long`;
    spoiled.push({ constraint: 'maxLength', value: '1'.repeat(maxLength + 1), message });
  }
  for (const form of [pattern, format]) {
    if (form === undefined) continue;
    const [value, message] = SPOILED_FORMATS[form] ?? [];
    if (value === undefined || message === undefined) throw new Error(`no text is known that is not ${form}`);
    spoiled.push({ constraint: form, value, message });
  }
  return spoiled;
}

function spoilNumber({ minimum, maximum }: StructuralSchema): Spoiled[] {
  const spoiled: Spoiled[] = [];
  if (minimum !== undefined) {
    spoiled.push({ constraint: 'minimum', value: minimum - 1, message: `must be at least ${minimum}` });
  }
  if (maximum !== undefined) {
    spoiled.push({ constraint: 'maximum', value: maximum + 1, message: `must be at most ${maximum}` });
  }
  return spoiled;
}

function replaced(target: unknown, path: Path, value: unknown): unknown {
  const [head, ...tail] = path;
  if (head === undefined) return value;
  if (Array.isArray(target))
    return target.map((item, i) => (i === head ? replaced(item, tail, value) : (item as unknown)));
  const { [head]: member, ...rest } = target as JsonObject;
  const next = replaced(member, tail, value);
  return next === undefined ? rest : { ...rest, [head]: next };
}

const textOf = (path: Path): string =>
  path.reduce<string>(
    (text, step) => (typeof step === 'number' ? `${text}[${step}]` : text ? `${text}.${step}` : step),
    '',
  );
