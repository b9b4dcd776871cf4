import type { Kind, Kinds } from '../api/kinds.ts';
import { isStatus } from '../api/status.ts';
import type { Clock } from '../lib/clock.ts';
import {
  isStoreError,
  type Draft,
  type Key,
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
import { collectionPath, objectPath, query, resourceOf } from './resource.ts';
import { watchEvents } from './watch.ts';

const PAGE = '500';
const PATCH_TRIES = 10; // The API server itself gives up after five when others write the object at the same time.

export interface KubeStoreOptions {
  readonly connection: Connection;
  readonly clock: Clock;
  /** Who writes, as `metadata.managedFields` and events name it. */
  readonly manager: string;
}

/** The store over the Kubernetes API. What may be stored is the API server's decision, made by the CRDs. */
export function kubeStore({ connection, clock, manager }: KubeStoreOptions): Store<Kinds> {
  const written = query({ fieldManager: manager, fieldValidation: 'Strict' });
  const notFound = (error: unknown): undefined => {
    if (isStoreError(error, 'NotFound')) return undefined;
    throw error;
  };

  return {
    async get<K extends Kind>(kind: K, key: Key) {
      const path = objectPath(resourceOf(kind), key);
      const body = await connection.call({ method: 'GET', path }).catch(notFound);
      return body === undefined ? undefined : objectOf<K>(body);
    },

    list: (kind, options) => list(connection, kind, options),

    async create<K extends Kind>(kind: K, draft: Draft) {
      const resource = resourceOf(kind);
      const { namespace } = draft.metadata;
      const path = `${collectionPath(resource, namespace)}${written}`;
      const body = { apiVersion: resource.apiVersion, kind, ...draft };
      return objectOf<K>(await connection.call({ method: 'POST', path, body }));
    },

    async patch<K extends Kind>(kind: K, key: Key, patch: MergePatch, options: PatchOptions = {}) {
      const path = `${objectPath(resourceOf(kind), key)}${options.subresource === 'status' ? '/status' : ''}${written}`;
      return objectOf<K>(await mergePatch(connection, path, bodyOf(patch, options)));
    },

    async delete<K extends Kind>(kind: K, key: Key, preconditions: Readonly<Record<string, string>> = {}) {
      const path = objectPath(resourceOf(kind), key);
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions };
      const answer = await connection.call({ method: 'DELETE', path, body });
      return isStatus(answer) ? undefined : objectOf<K>(answer);
    },

    watch: (kind, options) => watch({ connection, clock }, kind, options),
    ...eventStore({ connection, clock, manager }),
  };
}

/** All pages of one list, as they were when the first was asked for. */
async function list<K extends Kind>(
  connection: Pick<Connection, 'call'>,
  kind: K,
  { namespace, labelSelector = {} }: ListOptions = {},
): Promise<List<Kinds[K]>> {
  const selector = Object.entries(labelSelector).map(([key, value]) => `${key}=${value}`);
  const items: Kinds[K][] = [];
  let next: string | undefined;
  for (;;) {
    const parameters = { limit: PAGE, continue: next, labelSelector: selector.join(',') || undefined };
    const path = `${collectionPath(resourceOf(kind), namespace)}${query(parameters)}`;
    const page = (await connection.call({ method: 'GET', path })) as Page;
    for (const item of page.items) items.push(objectOf<K>(item));
    next = page.metadata.continue;
    if (next === undefined || next === '') return { items, resourceVersion: page.metadata.resourceVersion };
  }
}

interface Page {
  readonly items: readonly unknown[];
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
}

async function* watch<K extends Kind>(
  deps: { readonly connection: Connection; readonly clock: Clock },
  kind: K,
  { resourceVersion, namespace, signal }: WatchOptions,
): AsyncGenerator<WatchEvent<Kinds[K]>> {
  const parameters = { watch: '1', resourceVersion, allowWatchBookmarks: 'true' };
  const path = `${collectionPath(resourceOf(kind), namespace)}${query(parameters)}`;
  for await (const { type, object } of watchEvents(deps, { method: 'GET', path }, signal)) {
    yield { type, object: objectOf<K>(object) } as WatchEvent<Kinds[K]>;
  }
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
function objectOf<K extends Kind>(body: unknown): Kinds[K] {
  const { metadata } = body as { readonly metadata: Record<string, unknown> };
  delete metadata['managedFields'];
  delete metadata['deletionGracePeriodSeconds'];
  return body as Kinds[K];
}
