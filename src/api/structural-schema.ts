import { z } from 'zod';
import { clusterKinds, type ClusterKind } from './cluster-kinds.ts';
import { rules, type Rule } from './rules.ts';

/** The part of OpenAPI v3 that the schema of a CRD may use. */
export interface StructuralSchema {
  readonly type: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, StructuralSchema>>;
  readonly required?: readonly string[];
  readonly items?: StructuralSchema;
  readonly additionalProperties?: StructuralSchema;
  readonly enum?: readonly string[];
  readonly format?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly 'x-kubernetes-list-type'?: 'map' | 'set';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-validations'?: readonly CelRule[];
}

interface CelRule {
  readonly rule: string;
  readonly message: string;
  readonly fieldPath?: string;
}

type Mutable<T> = { -readonly [P in keyof T]: T[P] };

/** The schema of the kind as Kubernetes takes it: structural, with the rules of the kind as CEL. */
export function structuralSchema(kind: ClusterKind): StructuralSchema {
  const { spec, status } = clusterKinds[kind].schema.shape;
  const root: StructuralSchema = {
    type: 'object',
    description: clusterKinds[kind].description,
    properties: {
      apiVersion: { type: 'string', description: 'Version of the schema of this object.' },
      kind: { type: 'string', description: 'The kind of this object.' },
      metadata: { type: 'object' }, // Kubernetes knows metadata itself and allows no schema for it here.
      spec: toStructural(spec),
      status: toStructural(status),
    },
    required: spec.safeParse(undefined).success ? [] : ['spec'],
  };
  return withRules(tidy(root), kind);
}

const toStructural = (schema: z.ZodType): StructuralSchema =>
  z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input', reused: 'inline' }) as unknown as StructuralSchema;

/** Drops what zod writes and a structural schema must not have, all the way down. */
function tidy(schema: StructuralSchema): StructuralSchema {
  const { properties, required, items, additionalProperties, ...rest } = schema as StructuralSchema & {
    additionalProperties?: StructuralSchema | false;
  };
  const result: Mutable<StructuralSchema> = rest;
  if (properties !== undefined) result.properties = mapValues(properties, tidy);
  if (required !== undefined && required.length > 0) result.required = required;
  if (items !== undefined) result.items = tidy(items);
  if (typeof additionalProperties === 'object') result.additionalProperties = tidy(additionalProperties);
  if (result.maximum === Number.MAX_SAFE_INTEGER) delete result.maximum;
  return result;
}

const mapValues = <A, B>(record: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));

const withRules = (schema: StructuralSchema, kind: ClusterKind): StructuralSchema =>
  rules.filter((rule) => rule.kind === kind).reduce((all, rule) => attach(all, segments(rule.path), rule), schema);

function attach(schema: StructuralSchema, path: readonly string[], rule: Rule): StructuralSchema {
  const [head, ...tail] = path;
  if (head === undefined) {
    return { ...schema, 'x-kubernetes-validations': [...(schema['x-kubernetes-validations'] ?? []), celRule(rule)] };
  }
  if (head === '[]' && schema.items !== undefined) return { ...schema, items: attach(schema.items, tail, rule) };
  const property = schema.properties?.[head];
  if (property === undefined) throw new Error(`rule ${rule.id} names a field that does not exist: ${rule.path}`);
  return { ...schema, properties: { ...schema.properties, [head]: attach(property, tail, rule) } };
}

const celRule = ({ cel, message, field }: Rule): CelRule => ({
  rule: cel,
  message,
  ...(field === undefined ? {} : { fieldPath: `.${field}` }),
});

/** `status.gpus[].memory` → `status`, `gpus`, `[]`, `memory`. */
export const segments = (path: string): string[] => (path === '' ? [] : path.replaceAll('[]', '.[]').split('.'));
