import type { IncomingMessage } from 'node:http';
import { APPLY_OUTCOME, APPLY_TYPE } from '../api/apply.ts';
import type { Kind, Kinds } from '../api/kinds.ts';
import { success } from '../api/status.ts';
import { StoreError, type Key, type ListOptions, type MergePatch, type Store } from '../runtime/store.ts';
import { API_VERSION } from '../api/meta.ts';
import { ApiFailure, badRequest, statusOf } from './api-failure.ts';
import { draftOf } from './api-manifest.ts';
import { readJson } from './api-request.ts';
import { labelsOf, type ApiRoute } from './api-route.ts';
import { apply } from './apply.ts';

/** What is sent back: an object, and with which HTTP status code. */
export interface Answer {
  readonly code: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

type CollectionRoute = Extract<ApiRoute, { readonly at: 'collection' }>;
type ObjectRoute = Extract<ApiRoute, { readonly at: 'object' }>;

const MERGE = 'application/merge-patch+json';

export function listOptionsOf(route: CollectionRoute, query: URLSearchParams): ListOptions {
  const selector = query.get('labelSelector') ?? '';
  const labelSelector = selector === '' ? {} : labelsOf(selector);
  if (labelSelector === undefined) {
    throw badRequest(`labelSelector: ${JSON.stringify(selector)} is not of the form key=value,key=value`);
  }
  const { namespace } = route;
  return { ...(namespace === undefined ? {} : { namespace }), ...(selector === '' ? {} : { labelSelector }) };
}

export async function listObjects(
  store: Store<Kinds>,
  route: CollectionRoute,
  query: URLSearchParams,
): Promise<Answer> {
  const { items, resourceVersion } = await store.list(route.kind, listOptionsOf(route, query));
  const body = { apiVersion: API_VERSION, kind: `${route.kind}List`, metadata: { resourceVersion }, items };
  return { code: 200, body };
}

export async function createObject(store: Store<Kinds>, route: CollectionRoute, body: unknown): Promise<Answer> {
  const { kind, namespace } = route;
  const draft = draftOf(kind, body, namespace);
  try {
    return { code: 201, body: await store.create(kind, draft) };
  } catch (error) {
    // The path does not name the object, so the failure must be put into words here.
    const status = statusOf(error, { kind, name: draft.metadata.name });
    throw status === undefined ? error : new ApiFailure(status);
  }
}

/** Get, patch and delete of one object. */
export async function serveObject(store: Store<Kinds>, route: ObjectRoute, request: IncomingMessage): Promise<Answer> {
  const { kind } = route;
  const key: Key =
    route.namespace === undefined ? { name: route.name } : { namespace: route.namespace, name: route.name };
  if (request.method === 'PATCH') return patchObject(store, { kind, key }, request);
  if (request.method === 'DELETE') {
    const remaining = await store.delete(kind, key);
    return { code: 200, body: remaining ?? success(`${kind} "${key.name}" deleted`) };
  }
  if (request.method !== 'GET') throw badRequest(`there is no ${request.method} of an object`);
  const object = await store.get(kind, key);
  if (object === undefined) throw new StoreError('NotFound', 'not found');
  return { code: 200, body: object };
}

async function patchObject(
  store: Store<Kinds>,
  { kind, key }: { readonly kind: Kind; readonly key: Key },
  request: IncomingMessage,
): Promise<Answer> {
  const type = request.headers['content-type'] ?? '';
  const body = await readJson(request);
  if (type.startsWith(APPLY_TYPE)) {
    const draft = draftOf(kind, body, key.namespace);
    if (draft.metadata.name !== key.name)
      throw badRequest(`metadata.name: must be ${JSON.stringify(key.name)}, as in the path`);
    const { outcome, object } = await apply(store, kind, key, draft);
    return { code: outcome === 'created' ? 201 : 200, body: object, headers: { [APPLY_OUTCOME]: outcome } };
  }
  if (!type.startsWith(MERGE)) throw badRequest(`content-type: must be ${MERGE} or ${APPLY_TYPE}`);
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw badRequest('a merge patch is an object');
  return { code: 200, body: await store.patch(kind, key, body as MergePatch) };
}
