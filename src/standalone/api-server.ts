import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { z } from 'zod';
import { kindFor, type Kinds } from '../api/kinds.ts';
import type { SessionView } from '../api/session-view.ts';
import { failure } from '../api/status.ts';
import { gatewayAddressSchema, type TicketFile } from '../api/ticket-file.ts';
import { listenPrivately } from '../ipc/listen.ts';
import { answerProbe, type Probes } from '../runtime/probe-server.ts';
import type { Key, Store } from '../runtime/store.ts';
import { ApiFailure, badRequest, statusOf, type Subject } from './api-failure.ts';
import { createObject, listObjects, listOptionsOf, serveObject, type Answer } from './api-objects.ts';
import { readBody, readJson } from './api-request.ts';
import { routeOf, type ApiRoute } from './api-route.ts';
import { serveWatch } from './api-watch.ts';

/** A place where a program of this host finds its session. */
export interface Attachment {
  readonly socket: string;
  /** The directory that holds our `libcuda.so.1`. */
  readonly libraries: string;
}

export interface TicketRequest {
  readonly claim: Key;
  /** Binds the ticket to this key: base64url of an Ed25519 public key. Without it the first who presents it binds it. */
  readonly holderKey?: string | undefined;
  readonly expiresSeconds?: number | undefined;
  /** Where its holder reaches the gateway, where that is not where other hosts do. */
  readonly addresses?: string[] | undefined;
}

export interface ApiServices {
  readonly store: Store<Kinds>;
  readonly version: string;
  readonly sessions: () => readonly SessionView[];
  /** Both reject with an ApiFailure where the claim is not there or not bound. */
  readonly issueTicket: (request: TicketRequest) => Promise<TicketFile>;
  readonly attach: (claim: Key) => Promise<Attachment>;
  readonly probes: Probes;
  readonly failed: (err: unknown) => void;
}

/** Serves the API on a unix socket that only this user may open. */
export async function serveApi(path: string, services: ApiServices): Promise<AsyncDisposable> {
  const server = createServer((request, response) => void serveRequest(services, request, response));
  await listenPrivately(server, path);
  return {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const ORIGIN = 'http://aquifer';

async function serveRequest(services: ApiServices, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = URL.parse(request.url ?? '/', ORIGIN) ?? new URL(ORIGIN); // `//` is a target, and no URL.
  const route = routeOf(url.pathname);
  try {
    if (await answerProbe(url.pathname, services.probes, response)) return;
    if (route === undefined) throw new ApiFailure(failure(404, 'NotFound', `there is nothing at ${url.pathname}`));
    if (route.at === 'collection' && url.searchParams.has('watch')) {
      return await serveWatch(services.store, watchOf(route, url.searchParams), request, response);
    }
    send(response, await answerTo(services, route, request, url.searchParams));
  } catch (error) {
    const status = statusOf(error, subjectOf(route)) ?? UNEXPECTED;
    // Such as a full disk: nothing that the user who asked could mend.
    if (status.code >= 500) services.failed(error);
    send(response, { code: status.code, body: status });
  }
}

const UNEXPECTED = failure(500, 'InternalError', 'the request failed; the log of serve says why');

const subjectOf = (route: ApiRoute | undefined): Subject | undefined =>
  route?.at === 'object' ? { kind: route.kind, name: route.name } : undefined;

function send(response: ServerResponse, { code, body, headers }: Answer): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  response.writeHead(code, { 'content-type': 'application/json', ...headers });
  response.end(`${JSON.stringify(body)}\n`);
}

async function answerTo(
  services: ApiServices,
  route: ApiRoute,
  request: IncomingMessage,
  query: URLSearchParams,
): Promise<Answer> {
  if (route.at === 'object') return serveObject(services.store, route, request);
  if (route.at !== 'collection') return ownAnswer(services, route.at, request, query);
  if (request.method === 'GET') return listObjects(services.store, route, query);
  if (request.method === 'POST') return createObject(services.store, route, await readJson(request));
  throw badRequest(`there is no ${request.method} of a collection`);
}

const claimKey = { namespace: z.string().min(1), name: z.string().min(1) };
const ticketBody = z.strictObject({
  ...claimKey,
  for: z.string().optional(),
  expiresSeconds: z.int().min(1).optional(),
  addresses: z.array(gatewayAddressSchema).min(1).max(8).optional(),
});
const attachBody = z.strictObject(claimKey);

async function ownAnswer(
  services: ApiServices,
  at: 'events' | 'sessions' | 'tickets' | 'attach' | 'version',
  request: IncomingMessage,
  query: URLSearchParams,
): Promise<Answer> {
  switch (at) {
    case 'version':
      return { code: 200, body: { version: services.version, pid: process.pid } };
    case 'sessions':
      return { code: 200, body: { items: services.sessions() } };
    case 'events':
      return { code: 200, body: { items: await services.store.listEvents(referenceOf(query)) } };
    case 'tickets': {
      const { namespace, name, for: holderKey, ...wish } = await readBody(request, ticketBody);
      const ticket = await services.issueTicket({ claim: { namespace, name }, holderKey, ...wish });
      return { code: 201, body: ticket };
    }
    case 'attach':
      return { code: 201, body: await services.attach(await readBody(request, attachBody)) };
  }
}

function watchOf(route: Extract<ApiRoute, { readonly at: 'collection' }>, query: URLSearchParams) {
  const { labelSelector: _, ...where } = listOptionsOf(route, query);
  const name = /^metadata[.]name=(.+)$/.exec(query.get('fieldSelector') ?? '')?.[1];
  const resourceVersion = query.get('resourceVersion') ?? '';
  return { kind: route.kind, resourceVersion, ...where, ...(name === undefined ? {} : { name }) };
}

function referenceOf(query: URLSearchParams) {
  const kind = kindFor(query.get('kind') ?? '');
  const name = query.get('name');
  if (kind === undefined || name === null) throw badRequest('events: kind and name are required');
  const namespace = query.get('namespace') ?? undefined;
  const uid = query.get('uid') ?? undefined;
  return { kind, name, ...(namespace === undefined ? {} : { namespace }), ...(uid === undefined ? {} : { uid }) };
}
