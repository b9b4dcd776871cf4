import type { z } from 'zod';
import { err, ok, type Result } from '../lib/result.ts';
import { clusterKinds, type ClusterKind } from './cluster-kinds.ts';
import { kindFor, kindNames, type Kind } from './kinds.ts';
import { API_VERSION, type DeepReadonly } from './meta.ts';
import { problemsOf, type Problem } from './problem.ts';
import { rules, type Rule } from './rules.ts';
import { segments, structuralSchema, type StructuralSchema } from './structural-schema.ts';

/** An object that may be stored: defaults filled in, every schema constraint and rule of its kind kept. */
export type Admitted<K extends ClusterKind> = Omit<NewObjectOf<K>, 'spec'> & { readonly spec: object };

/** An object of the kind as it may be written: what has a default, and the store's metadata, may be left out. */
type NewObjectOf<K extends ClusterKind> = DeepReadonly<z.input<(typeof clusterKinds)[K]['schema']>>;

/**
 * Decides whether an object may be stored, and fills in its defaults. Metadata that only a store writes (uid,
 * resourceVersion …) must have been taken off before. `old` is the stored object that it replaces, if there is one.
 * All problems are told at once; rules are looked at only when the schema is satisfied, as Kubernetes does it.
 */
export function admit<K extends ClusterKind>(
  kind: K,
  object: unknown,
  old?: unknown,
): Result<Admitted<K>, readonly Problem[]> {
  const input = withoutNulls(object);
  const parsed = clusterKinds[kind].schema.safeParse(input);
  if (!parsed.success) return err(problemsOf(parsed.error.issues, input, (path) => knownFields(kind, path)));

  const admitted: object = parsed.data;
  const problems = [
    ...namespaceProblems(kind, parsed.data.metadata.namespace),
    ...listProblems(structure(kind), admitted, ''),
    ...ruleProblems(kind, admitted, old === undefined ? undefined : withDefaults(kind, old)),
  ];
  return problems.length === 0 ? ok(admitted as Admitted<K>) : err(problems);
}

/** The kind that an object says it is, or what is wrong with what it says. */
export function kindOf(object: unknown): Result<Kind, Problem> {
  if (typeof object !== 'object' || object === null || Array.isArray(object)) {
    return err({ field: '', message: 'must be an object with apiVersion, kind and metadata' });
  }
  const { apiVersion, kind } = object as { readonly apiVersion?: unknown; readonly kind?: unknown };
  if (apiVersion !== API_VERSION) return err({ field: 'apiVersion', message: `must be "${API_VERSION}"` });
  const known = kindNames.find((name) => name === kind);
  if (known !== undefined) return ok(known);
  const guess = typeof kind === 'string' ? kindFor(kind) : undefined;
  const hint = guess === undefined ? '' : `; did you mean "${guess}"?`;
  return err({ field: 'kind', message: `must be one of ${kindNames.map((n) => `"${n}"`).join(', ')}${hint}` });
}

const structures = new Map<ClusterKind, StructuralSchema>();

/** The structural schema of a kind, made once. */
function structure(kind: ClusterKind): StructuralSchema {
  const known = structures.get(kind);
  if (known !== undefined) return known;
  const made = structuralSchema(kind);
  structures.set(kind, made);
  return made;
}

const METADATA_FIELDS = ['name', 'namespace', 'labels', 'annotations', 'finalizers', 'ownerReferences'];

function knownFields(kind: ClusterKind, path: readonly PropertyKey[]): readonly string[] {
  if (path.length === 1 && path[0] === 'metadata') return METADATA_FIELDS;
  const schema = path.reduce<StructuralSchema | undefined>(
    (at, step) => (typeof step === 'number' ? at?.items : (at?.properties?.[String(step)] ?? at?.additionalProperties)),
    structure(kind),
  );
  return Object.keys(schema?.properties ?? {});
}

function namespaceProblems(kind: ClusterKind, namespace: string | undefined): readonly Problem[] {
  const field = 'metadata.namespace';
  if (clusterKinds[kind].namespaced && namespace === undefined) return [{ field, message: 'is required' }];
  if (!clusterKinds[kind].namespaced && namespace !== undefined) {
    return [{ field, message: `must be left out: a ${kind} belongs to no namespace` }];
  }
  return [];
}

/** A stored object with the defaults of today, so that a default that is newer than the object is no change of it. */
function withDefaults(kind: ClusterKind, stored: unknown): unknown {
  const { apiVersion, metadata, spec } = stored as NewObjectOf<ClusterKind>;
  const { name, namespace } = metadata;
  const parsed = clusterKinds[kind].schema.safeParse({
    apiVersion,
    kind,
    metadata: withoutNulls({ name, namespace }),
    spec,
  });
  return parsed.success ? { ...(stored as object), spec: parsed.data.spec } : stored;
}

/** Fields set to null count as left out, as Kubernetes has it. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([, v]) => v !== null && v !== undefined);
  return Object.fromEntries(kept.map(([key, v]) => [key, withoutNulls(v)]));
}

/** Lists that Kubernetes merges by key, and sets, must not hold one entry twice. */
function listProblems(schema: StructuralSchema, value: unknown, field: string): Problem[] {
  if (Array.isArray(value)) {
    const items = schema.items;
    const inItems = items === undefined ? [] : value.flatMap((item, i) => listProblems(items, item, `${field}[${i}]`));
    return [...duplicates(schema, value, field), ...inItems];
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => {
    const property = schema.properties?.[name];
    return property === undefined ? [] : listProblems(property, member, below(field, name));
  });
}

function duplicates(schema: StructuralSchema, items: readonly unknown[], field: string): Problem[] {
  const type = schema['x-kubernetes-list-type'];
  if (type === undefined) return [];
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const identities = items.map((item) =>
    JSON.stringify(type === 'set' ? item : keys.map((k) => Reflect.get(item as object, k))),
  );
  return identities.flatMap((identity, i) =>
    identities.indexOf(identity) < i ? [{ field: `${field}[${i}]`, message: duplicateMessage(keys) }] : [],
  );
}

const duplicateMessage = (keys: readonly string[]): string =>
  keys.length === 0 ? 'is in the list twice' : `has the same ${keys.join(' and ')} as an earlier entry`;

function ruleProblems(kind: ClusterKind, object: object, old: unknown): Problem[] {
  return rules
    .filter((rule) => rule.kind === kind && (!rule.transition || old !== undefined))
    .flatMap((rule) => breaches(rule, object, old));
}

function breaches(rule: Rule, object: object, old: unknown): Problem[] {
  return placesOf(segments(rule.path), object, '').flatMap(({ value, field }) =>
    rule.check(value, old) ? [] : [{ field: rule.field ?? field, message: rule.message }],
  );
}

interface Place {
  readonly value: unknown;
  readonly field: string;
}

/** Every value that a rule's path leads to; a part that is absent has none. */
function placesOf(path: readonly string[], value: unknown, field: string): Place[] {
  const [head, ...tail] = path;
  if (value === undefined) return [];
  if (head === undefined) return [{ value, field }];
  if (head === '[]') return (value as unknown[]).flatMap((item, i) => placesOf(tail, item, `${field}[${i}]`));
  return placesOf(tail, Reflect.get(value as object, head), below(field, head));
}

const below = (field: string, name: string): string => (field === '' ? name : `${field}.${name}`);
