import { randomUUID } from 'node:crypto';
import { kinds, type Kind, type Kinds } from '../api/kinds.ts';
import { deepFreeze } from '../lib/deep-freeze.ts';
import { StoreError, type Draft, type Key, type MergePatch, type PatchOptions } from '../runtime/store.ts';
import type { Change } from './history.ts';
import { checkPreconditions, created, deleted, nameOf, patched, statusPatched, type Versionless } from './lifecycle.ts';
import type { ObjectTable } from './tables.ts';

/** The three writes, each to be run inside a transaction; `time` is RFC 3339. They throw StoreError to refuse. */

export interface Written<T> {
  readonly result: T;
  readonly changes: readonly Change[];
}

export interface Preconditions {
  readonly uid?: string;
  readonly resourceVersion?: string;
}

export function createObject<K extends Kind>(
  objects: ObjectTable,
  kind: K,
  draft: Draft,
  time: string,
): Written<Kinds[K]> {
  const object = created(kind, draft, { uid: randomUUID(), time });
  if (objects.get(kind, object.metadata) !== undefined) {
    throw new StoreError('AlreadyExists', `${nameOf(kind, object.metadata)} already exists`);
  }
  return write(objects, 'ADDED', object);
}

export function patchObject<K extends Kind>(
  objects: ObjectTable,
  { kind, key }: { readonly kind: K; readonly key: Key },
  patch: MergePatch,
  options: PatchOptions,
): Written<Kinds[K]> {
  const old = existing(objects, kind, key);
  const { uid, resourceVersion } = patch.metadata ?? {};
  checkPreconditions(kind, old, { uid, resourceVersion: options.resourceVersion ?? resourceVersion });
  const step = (options.subresource === 'status' ? statusPatched : patched)(kind, old, patch);
  if (step.do === 'Nothing') return { result: old, changes: [] };
  return write(objects, step.do === 'Remove' ? 'DELETED' : 'MODIFIED', step.object);
}

export function deleteObject<K extends Kind>(
  objects: ObjectTable,
  { kind, key }: { readonly kind: K; readonly key: Key },
  preconditions: Preconditions,
  time: string,
): Written<Kinds[K] | undefined> {
  const old = existing(objects, kind, key);
  checkPreconditions(kind, old, preconditions);
  const step = deleted(old, time);
  if (step.do === 'Nothing') return { result: old, changes: [] };
  if (step.do === 'Put') return write(objects, 'MODIFIED', step.object);
  return { changes: write(objects, 'DELETED', step.object).changes, result: undefined };
}

/** A key without its namespace would find nothing and say so: a mistake of the caller, which is told instead. */
export function checkedKey(kind: Kind, key: Key): Key {
  if (kinds[kind].namespaced === (key.namespace !== undefined)) return key;
  const message = kinds[kind].namespaced ? 'is required' : `must be left out: a ${kind} belongs to no namespace`;
  const details = [{ field: 'metadata.namespace', message }];
  throw new StoreError('Invalid', `${nameOf(kind, key)}: metadata.namespace ${message}`, { details });
}

function existing<K extends Kind>(objects: ObjectTable, kind: K, key: Key): Kinds[K] {
  const object = objects.get(kind, checkedKey(kind, key));
  if (object === undefined) throw new StoreError('NotFound', `${nameOf(kind, key)} not found`);
  return object;
}

/** Gives the object its version, stores or removes it, and says what is to be told of it. */
function write<K extends Kind>(
  objects: ObjectTable,
  type: Change['type'],
  versionless: Versionless,
): Written<Kinds[K]> {
  const version = objects.nextVersion();
  const metadata = { ...versionless.metadata, resourceVersion: String(version) };
  const object = deepFreeze({ ...versionless, metadata }) as Kinds[K];
  if (type === 'DELETED') objects.remove(object.kind, object.metadata);
  else objects.put(object);
  return { result: object, changes: [{ version, type, kind: object.kind, object }] };
}
