import { admit } from '../api/admission.ts';
import { kinds, type Kind, type Kinds } from '../api/kinds.ts';
import { API_VERSION, type ObjectMeta } from '../api/meta.ts';
import { problemText } from '../api/problem.ts';
import { jsonEqual } from '../lib/json-equal.ts';
import { mergePatch } from '../lib/merge-patch.ts';
import { StoreError, type Draft, type FieldProblem, type Key, type MergePatch } from '../runtime/store.ts';

/** The life of one object, as Kubernetes has it: what a create, a patch and a delete make of it. No I/O, no clock. */

/** A stored object before it has the version that its write will give it. */
export type Versionless = Omit<Kinds[Kind], 'metadata' | 'spec' | 'status'> & {
  readonly metadata: Omit<ObjectMeta, 'resourceVersion'>;
  readonly spec: object;
  readonly status?: object;
};

export type Step =
  | { readonly do: 'Nothing' }
  | { readonly do: 'Put'; readonly object: Versionless }
  | { readonly do: 'Remove'; readonly object: Versionless };

type Stored = Kinds[Kind];

/** What nobody but the store writes; where a user sends it back to us it is passed over. */
const STORE_OWNED = new Set([
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'managedFields',
  'selfLink',
]);

/** The object that a draft becomes; its status, if it has one, is dropped. */
export function created(kind: Kind, draft: Draft, birth: { readonly uid: string; readonly time: string }): Versionless {
  const { status: _, ...written } = draft as Draft & { readonly status?: unknown };
  const { metadata, ...rest } = checked(kind, {
    apiVersion: API_VERSION,
    kind,
    ...written,
    metadata: writtenPart(draft.metadata),
  });
  return { ...rest, metadata: { ...metadata, uid: birth.uid, generation: 1, creationTimestamp: birth.time } };
}

/** What a patch of metadata and spec does to an object. */
export function patched(kind: Kind, old: Stored, patch: MergePatch): Step {
  const metadata = writtenPart(mergePatch(writtenPart(old.metadata), patch.metadata ?? {}));
  refuseRename(kind, old, metadata);
  const next = checked(kind, { ...old, metadata, spec: mergePatch(old.spec, patch.spec ?? {}) }, old);
  const specChanged = !jsonEqual(next.spec, old.spec);
  if (!specChanged && jsonEqual(next.metadata, writtenPart(old.metadata))) return { do: 'Nothing' };

  const generation = old.metadata.generation + (specChanged ? 1 : 0);
  const object: Versionless = { ...next, metadata: { ...next.metadata, ...ownedPart(old.metadata), generation } };
  if (object.metadata.deletionTimestamp === undefined) return { do: 'Put', object };
  const finalizers = object.metadata.finalizers ?? [];
  refuseNewFinalizers(old, finalizers);
  return { do: finalizers.length === 0 ? 'Remove' : 'Put', object };
}

/** What a patch of the status does to an object. */
export function statusPatched(kind: Kind, old: Stored, patch: MergePatch): Step {
  const { status: oldStatus, ...rest } = old;
  const status = patch.status === undefined ? oldStatus : mergePatch(oldStatus, patch.status);
  const next = checked(kind, { ...rest, metadata: writtenPart(old.metadata), status }, old);
  if (jsonEqual(next.status, oldStatus)) return { do: 'Nothing' };
  return { do: 'Put', object: { ...next, spec: old.spec, metadata: old.metadata } };
}

/** What a delete does: an object with finalizers stays, marked, until the last of them is taken off. */
export function deleted(old: Stored, time: string): Step {
  if ((old.metadata.finalizers ?? []).length === 0) return { do: 'Remove', object: old };
  if (old.metadata.deletionTimestamp !== undefined) return { do: 'Nothing' };
  const generation = old.metadata.generation + 1; // As Kubernetes does, so that controllers see something new.
  return { do: 'Put', object: { ...old, metadata: { ...old.metadata, generation, deletionTimestamp: time } } };
}

/** A write that names a uid or a version is refused when the object is not that one any more. */
export function checkPreconditions(
  kind: Kind,
  old: Stored,
  wanted: { readonly uid?: unknown; readonly resourceVersion?: unknown },
): void {
  const { uid, resourceVersion } = old.metadata;
  if (wanted.uid !== undefined && wanted.uid !== uid) {
    throw new StoreError(
      'Conflict',
      `${nameOf(kind, old.metadata)} is another object of the same name: its uid is ${uid}`,
    );
  }
  if (wanted.resourceVersion !== undefined && wanted.resourceVersion !== resourceVersion) {
    throw new StoreError('Conflict', `${nameOf(kind, old.metadata)} was changed meanwhile: read it again`);
  }
}

/** `vgpuclaim "team-a/trainer"`: how messages name an object. */
export function nameOf(kind: Kind, { namespace, name }: Key): string {
  return `${kinds[kind].singular} "${namespace === undefined ? name : `${namespace}/${name}`}"`;
}

interface Checked extends Omit<Versionless, 'metadata'> {
  readonly metadata: Omit<ObjectMeta, 'uid' | 'resourceVersion' | 'generation' | 'creationTimestamp'>;
}

function checked(kind: Kind, candidate: object, old?: Stored): Checked {
  const result = admit(kind, candidate, old);
  if (result.ok) return result.value as Checked;
  throw invalid(kind, candidate, result.error);
}

function invalid(kind: Kind, candidate: object, details: readonly FieldProblem[]): StoreError {
  const { metadata } = candidate as { readonly metadata?: { readonly name?: unknown } };
  const name = typeof metadata?.name === 'string' ? ` "${metadata.name}"` : '';
  const list = details.map(problemText).join('; ');
  return new StoreError('Invalid', `${kinds[kind].singular}${name} is invalid: ${list}`, { details });
}

/** The metadata without what the store owns. What is no object is left for the check to refuse. */
function writtenPart(metadata: unknown): unknown {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) return metadata;
  return Object.fromEntries(Object.entries(metadata).filter(([key]) => !STORE_OWNED.has(key)));
}

function ownedPart(metadata: ObjectMeta): Pick<ObjectMeta, 'uid' | 'creationTimestamp' | 'deletionTimestamp'> {
  const { uid, creationTimestamp, deletionTimestamp } = metadata;
  return { uid, creationTimestamp, ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }) };
}

function refuseRename(kind: Kind, old: Stored, metadata: unknown): void {
  const fields = (['name', 'namespace'] as const).filter(
    (field) => Reflect.get(Object(metadata), field) !== old.metadata[field],
  );
  if (fields.length === 0) return;
  const details = fields.map((field) => ({ field: `metadata.${field}`, message: 'cannot be changed' }));
  throw invalid(kind, old, details);
}

function refuseNewFinalizers(old: Stored, finalizers: readonly string[]): void {
  const added = finalizers.filter((finalizer) => !old.metadata.finalizers?.includes(finalizer));
  if (added.length === 0) return;
  const message = 'cannot be added to: the object is being deleted';
  throw invalid(old.kind, old, [{ field: 'metadata.finalizers', message }]);
}
