import { request as requestHttp, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Clock } from '../lib/clock.ts';
import { stopwatch } from '../runtime/stopwatch.ts';
import { StoreError } from '../runtime/store.ts';
import type { ApiAccess } from './access.ts';
import { Credentials, type Prepared } from './credentials.ts';
import { connectionError, statusError } from './errors.ts';

const REQUEST_MS = 30_000;

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path and query. */
  readonly path: string;
  readonly body?: unknown;
  /** @default application/json */
  readonly contentType?: string;
  /** How long `call` waits for the answer. @default 30_000 */
  readonly timeoutMs?: number;
}

/** The API server of a kubeconfig or a ServiceAccount, over connections that are kept. */
export interface Connection extends Disposable {
  /** The body of the answer. @throws StoreError if there is none, or it says no. */
  call(call: Call): Promise<unknown>;
  /** An answer whose body is read as it comes, until `signal` ends it. @throws StoreError as `call` does. */
  open(call: Call, signal: AbortSignal): Promise<IncomingMessage>;
}

/** What became of one request; without a status nobody answered. */
export interface Exchange {
  readonly method: Call['method'];
  readonly status: number | undefined;
  readonly durationMs: number;
}

export interface ConnectionOptions {
  /** Called again from time to time, because credentials change. */
  readonly loadConfig: () => ApiAccess;
  readonly clock: Clock;
  readonly onExchange?: (exchange: Exchange) => void;
}

/**
 * Requests to the API server. A kubeconfig says where it is and who we are; the requests are made here, because those of
 * client-node open a connection each (docs/decisions/0010).
 */
export function connect({ loadConfig, clock, onExchange }: ConnectionOptions): Connection {
  const server = serverOf(loadConfig());
  const credentials = new Credentials(loadConfig, clock);
  const once = async (call: Call, signal: AbortSignal): Promise<IncomingMessage> => {
    const who = await prepared(call, credentials);
    const started = stopwatch(clock);
    let status: number | undefined;
    try {
      const response = await exchange(server, call, who, signal);
      status = response.statusCode;
      return response;
    } finally {
      onExchange?.({ method: call.method, status, durationMs: started.elapsedMs() });
    }
  };
  const ask = async (call: Call, signal: AbortSignal): Promise<IncomingMessage> => {
    const response = await once(call, signal);
    if (response.statusCode !== 401) return response;
    response.resume();
    credentials.refused();
    return once(call, signal);
  };
  const open = async (call: Call, signal: AbortSignal): Promise<IncomingMessage> => {
    const response = await ask(call, signal);
    const { statusCode = 0 } = response;
    if (statusCode >= 200 && statusCode < 300) return response;
    throw statusError(call, statusCode, parsed(await bodyOf(call, response)));
  };

  return {
    open,
    async call(call) {
      const abort = new AbortController();
      const { timeoutMs = REQUEST_MS } = call;
      using _ = clock.after(timeoutMs, () => abort.abort(new Error(`none within ${timeoutMs} ms`)));
      return parsed(await bodyOf(call, await open(call, abort.signal)));
    },
    [Symbol.dispose]: () => credentials[Symbol.dispose](),
  };
}

function serverOf(config: ApiAccess): URL {
  const server = config.getCurrentCluster()?.server ?? '';
  if (URL.canParse(server)) return new URL(server);
  throw new StoreError('Unavailable', `there is no API server in the context ${config.getCurrentContext()}`);
}

async function prepared(call: Call, credentials: Credentials): Promise<Prepared> {
  try {
    return await credentials.current();
  } catch (error) {
    throw connectionError(call, error, false);
  }
}

function exchange(server: URL, call: Call, who: Prepared, signal: AbortSignal): Promise<IncomingMessage> {
  const { method, path, body, contentType = 'application/json' } = call;
  const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  // Node says the length of a DELETE's body by itself in no way: the server would take it for the next request.
  const about = payload === undefined ? {} : { 'content-type': contentType, 'content-length': String(payload.length) };
  const send = server.protocol === 'http:' ? requestHttp : requestHttps;
  return new Promise((resolve, reject) => {
    const request = send({
      ...who,
      hostname: server.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: server.port,
      path: `${server.pathname.replace(/[/]$/, '')}${path}`,
      method,
      headers: {
        ...who.headers,
        accept: 'application/json',
        'user-agent': 'aquifer',
        ...about,
      },
      signal,
    });
    const wasSent = sentOf(request, server.protocol === 'http:' ? 'connect' : 'secureConnect');
    request.on('response', resolve);
    request.on('error', (error) => reject(connectionError(call, signal.aborted ? signal.reason : error, wasSent())));
    request.end(payload);
  });
}

/** Connections that have carried a request. Node's `reusedSocket` leaves out a request that waited for its connection. */
const opened = new WeakSet<Socket>();

/** Whether a byte of the request can have reached the server: not before there is a connection to it. */
function sentOf(request: ClientRequest, connected: 'connect' | 'secureConnect'): () => boolean {
  let sent = false;
  request.on('socket', (socket: Socket) => {
    if (opened.has(socket)) {
      sent = true;
      return;
    }
    socket.once(connected, () => {
      opened.add(socket);
      sent = true;
    });
  });
  return () => sent;
}

async function bodyOf(call: Call, response: IncomingMessage): Promise<string> {
  try {
    return await text(response);
  } catch (error) {
    throw connectionError(call, error, true);
  }
}

/** A body that is no JSON comes from something between us and the API server; its text is all there is to tell. */
function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}
