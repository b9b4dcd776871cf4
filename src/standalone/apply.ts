import type { Kind, Kinds } from '../api/kinds.ts';
import { isStoreError, type Draft, type Key, type MergePatch, type Store } from '../runtime/store.ts';

/** Where `apply` keeps what it applied last: the annotation that kubectl uses, so that an object may move to a cluster. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

type Json = Readonly<Record<string, unknown>>;

export type Applied<K extends Kind> = {
  readonly outcome: 'created' | 'configured' | 'unchanged';
  readonly object: Kinds[K];
};

const ATTEMPTS = 5; // The operator writes status and finalizers meanwhile; it does not do so without end.

/** Makes the object what the manifest says. What others set, and the manifest never did, is left alone. */
export async function apply<K extends Kind>(
  store: Store<Kinds>,
  kind: K,
  key: Key,
  manifest: Draft,
): Promise<Applied<K>> {
  const draft = withLastApplied(manifest);
  for (let attempt = 1; ; attempt++) {
    try {
      const before = await store.get(kind, key);
      if (before === undefined) return { outcome: 'created', object: await store.create(kind, draft) };
      const { resourceVersion } = before.metadata;
      const object = await store.patch(kind, key, patchBetween(before, draft), { resourceVersion });
      const same = object.metadata.resourceVersion === resourceVersion;
      return { outcome: same ? 'unchanged' : 'configured', object };
    } catch (error) {
      const raced = isStoreError(error, 'Conflict') || isStoreError(error, 'AlreadyExists');
      if (!raced || attempt === ATTEMPTS) throw error;
    }
  }
}

function withLastApplied(manifest: Draft): Draft {
  const { [LAST_APPLIED]: _, ...annotations } = manifest.metadata.annotations ?? {};
  const plain = { ...manifest, metadata: { ...manifest.metadata, annotations } };
  const text = JSON.stringify(plain);
  return { ...plain, metadata: { ...plain.metadata, annotations: { ...annotations, [LAST_APPLIED]: text } } };
}

/**
 * A merge patch that sets what the manifest says, and removes what the manifest before it said and this one does not.
 * Finalizers are left alone: they belong to whoever will do their work.
 */
function patchBetween(before: Kinds[Kind], draft: Draft): MergePatch {
  const earlier = parsed(before.metadata.annotations?.[LAST_APPLIED]);
  const { metadata, ...patch } = patchFromTo(appliedPart(earlier as unknown as Draft), appliedPart(draft));
  // An object without labels must not get an empty map of them: that would be a change.
  const changed = Object.entries(metadata as Json).filter(([, members]) => Object.keys(members as Json).length > 0);
  return { ...patch, metadata: Object.fromEntries(changed) } as MergePatch;
}

function appliedPart({ metadata, spec }: Partial<Draft>): Json {
  const { labels = {}, annotations = {} } = metadata ?? {};
  return { metadata: { labels, annotations }, spec: spec ?? {} };
}

/** `wanted`, with a null for each field of `earlier` that it lacks. */
export function patchFromTo(earlier: Json, wanted: Json): Json {
  const removed = Object.keys(earlier).filter((name) => !Object.hasOwn(wanted, name));
  const kept = Object.entries(wanted).map(([name, value]) => {
    const old = earlier[name];
    return [name, isJson(value) ? patchFromTo(isJson(old) ? old : {}, value) : value] as const;
  });
  return Object.fromEntries([...removed.map((name) => [name, null] as const), ...kept]);
}

const isJson = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

function parsed(text: string | undefined): Json {
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    return isJson(value) ? value : {};
  } catch {
    return {};
  }
}
