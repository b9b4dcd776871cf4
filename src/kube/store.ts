import { isStatus } from '../api/status.ts';
import type { Clock } from '../lib/clock.ts';
import {
  isStoreError,
  type Draft,
  type Key,
  type Kind,
  type KindTable,
  type List,
  type ListOptions,
  type MergePatch,
  type PatchOptions,
  type Store,
  type WatchEvent,
  type WatchOptions,
} from '../runtime/store.ts';
import type { Connection } from './connection.ts';
import { eventStore } from './events.ts';
import { collectionPath, objectPath, query, type Resource, type Resources } from './resource.ts';
import { watchEvents } from './watch.ts';

const PAGE = '500';
const PATCH_TRIES = 10; // The API server itself gives up after five when others write the object at the same time.

export interface KubeStoreOptions<Kinds extends KindTable<Kinds>> {
  readonly connection: Connection;
  readonly clock: Clock;
  /** Who writes, as `metadata.managedFields` and events name it. */
  readonly manager: string;
  readonly resources: Resources<Kinds>;
}

/** The store over the Kubernetes API. What may be stored is the API server's decision, made by the CRDs. */
export function kubeStore<Kinds extends KindTable<Kinds>>(options: KubeStoreOptions<Kinds>): Store<Kinds> {
  const { connection, manager, resources } = options;
  const written = query({ fieldManager: manager, fieldValidation: 'Strict' });
  const notFound = (error: unknown): undefined => {
    if (isStoreError(error, 'NotFound')) return undefined;
    throw error;
  };

  return {
    async get<K extends Kind<Kinds>>(kind: K, key: Key) {
      const path = objectPath(resources[kind], key);
      const body = await connection.call({ method: 'GET', path }).catch(notFound);
      return body === undefined ? undefined : objectOf<Kinds[K]>(body);
    },

    list: (kind, listOptions) => list(options, kind, listOptions),

    async create<K extends Kind<Kinds>>(kind: K, draft: Draft) {
      const { apiVersion } = resources[kind];
      const path = `${collectionPath(resources[kind], draft.metadata.namespace)}${written}`;
      const body = { apiVersion, kind, ...draft };
      return objectOf<Kinds[K]>(await connection.call({ method: 'POST', path, body }));
    },

    async patch<K extends Kind<Kinds>>(kind: K, key: Key, patch: MergePatch, patchOptions: PatchOptions = {}) {
      const part = patchOptions.subresource === 'status' ? '/status' : '';
      const path = `${objectPath(resources[kind], key)}${part}${written}`;
      return objectOf<Kinds[K]>(await mergePatch(connection, path, bodyOf(patch, patchOptions)));
    },

    async delete<K extends Kind<Kinds>>(kind: K, key: Key, preconditions: Readonly<Record<string, string>> = {}) {
      const path = objectPath(resources[kind], key);
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions };
      const answer = await connection.call({ method: 'DELETE', path, body });
      return isStatus(answer) ? undefined : objectOf<Kinds[K]>(answer);
    },

    watch: (kind, watchOptions) => watch(options, kind, watchOptions),
    ...eventStore(options),
  };
}

/** All pages of one list, as they were when the first was asked for. */
async function list<Kinds extends KindTable<Kinds>, K extends Kind<Kinds>>(
  { connection, resources }: KubeStoreOptions<Kinds>,
  kind: K,
  { namespace, labelSelector }: ListOptions = {},
): Promise<List<Kinds[K]>> {
  const resource = resources[kind];
  const items: Kinds[K][] = [];
  let next: string | undefined;
  for (;;) {
    const parameters = { limit: PAGE, continue: next, ...selectors(resource, labelSelector) };
    const path = `${collectionPath(resource, namespace)}${query(parameters)}`;
    const page = (await connection.call({ method: 'GET', path })) as Page;
    // The items of a list of a built-in kind do not say of what kind they are.
    const { apiVersion } = resource;
    for (const item of page.items) items.push(objectOf<Kinds[K]>({ apiVersion, kind, ...item }));
    next = page.metadata.continue;
    if (next === undefined || next === '') return { items, resourceVersion: page.metadata.resourceVersion };
  }
}

interface Page {
  readonly items: readonly object[];
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
}

async function* watch<Kinds extends KindTable<Kinds>, K extends Kind<Kinds>>(
  { resources, ...deps }: KubeStoreOptions<Kinds>,
  kind: K,
  { resourceVersion, namespace, signal }: WatchOptions,
): AsyncGenerator<WatchEvent<Kinds[K]>> {
  const resource = resources[kind];
  const parameters = { watch: '1', resourceVersion, allowWatchBookmarks: 'true', ...selectors(resource) };
  const path = `${collectionPath(resource, namespace)}${query(parameters)}`;
  for await (const { type, object } of watchEvents(deps, { method: 'GET', path }, signal)) {
    yield { type, object: objectOf<Kinds[K]>(object) } as WatchEvent<Kinds[K]>;
  }
}

function selectors({ selector = {}, only }: Resource, more: Readonly<Record<string, string>> = {}) {
  const terms = Object.entries({ ...selector, ...more }).map(([key, value]) => `${key}=${value}`);
  return {
    labelSelector: terms.length === 0 ? undefined : terms.join(','),
    fieldSelector: only === undefined ? undefined : `metadata.name=${only}`,
  };
}

/** Only what the write may touch; the API server would pass over the rest, but it would check it. */
function bodyOf({ metadata = {}, spec, status }: MergePatch, { subresource, resourceVersion }: PatchOptions): object {
  const version = resourceVersion === undefined ? {} : { resourceVersion };
  if (subresource === 'status') return { metadata: version, status };
  return { metadata: { ...metadata, ...version }, spec };
}

/** A patch that names no version has no conflict: it is tried again when others were quicker. */
async function mergePatch(
  connection: Pick<Connection, 'call'>,
  path: string,
  body: { readonly metadata?: object },
): Promise<unknown> {
  for (let tries = 1; ; tries++) {
    try {
      return await connection.call({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' });
    } catch (error) {
      const conditional = body.metadata !== undefined && 'resourceVersion' in body.metadata;
      if (conditional || tries === PATCH_TRIES || !isStoreError(error, 'Conflict')) throw error;
    }
  }
}

/** An object as we keep it: without the record of who wrote which field, which is half of its size. */
function objectOf<T>(body: unknown): T {
  const { metadata } = body as { readonly metadata: Record<string, unknown> };
  delete metadata['managedFields'];
  delete metadata['deletionGracePeriodSeconds'];
  return body as T;
}
