import {
  Metadata,
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
  type StatusObject,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Input, Output } from '../lib/protobuf/message.ts';
import type { Method, Methods, Service } from '../lib/protobuf/service.ts';
import { definitionOf } from './definition.ts';
import { REASON_TRAILER, RpcError } from './rpc-error.ts';

/** What a handler knows of its call beside the request. */
export interface CallContext {
  /** Aborted when the caller has given up, its time is over, or the server ends. */
  readonly signal: AbortSignal;
  /** When the caller will give up, in milliseconds since 1970. */
  readonly deadlineMs: number;
  /** A header of the call; undefined where there is none. */
  readonly header: (name: string) => string | undefined;
}

export interface StreamContext<Response> extends CallContext {
  readonly send: (response: Response) => void;
  /** Resolves once the signal is aborted. */
  readonly over: Promise<void>;
}

/** A stream ends when its handler does. */
type Handler<M> =
  M extends Method<infer Q, infer R, infer Streams>
    ? Streams extends true
      ? (request: Output<Q>, stream: StreamContext<Input<R>>) => Promise<void>
      : (request: Output<Q>, context: CallContext) => Input<R> | Promise<Input<R>>
    : never;

export type Handlers<M extends Methods> = { readonly [K in keyof M]: Handler<M[K]> };

export interface ServerTls {
  readonly keyPem: string;
  readonly certificatePem: string;
}

export interface ServerOptions {
  /** `unix:/path`, or `host:port` where port 0 takes a free one. */
  readonly address: string;
  readonly tls?: ServerTls;
  /** The longest request that is read. @default 4 MiB */
  readonly maxRequestBytes?: number;
  /** A handler has failed otherwise than by an RpcError. */
  readonly failed: (err: unknown) => void;
  /** A call of `method` has ended, with the word for its status. */
  readonly answered?: (method: string, code: string) => void;
}

export interface RpcServer extends AsyncDisposable {
  /** The port, where the address has one. */
  readonly port: number;
}

const GRACE_MS = 2000;
/** At once on one connection. Kubelet starts as many containers as a node may have pods. */
const MAX_CALLS = 512;
/** Followers that have lost their power are forgotten. */
const KEEPALIVE = { 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 10_000 };

/** Serves one service. Disposed, it ends its streams, lets calls end for two seconds, and cuts what is left. */
export async function serveRpc<M extends Methods>(
  service: Service<M>,
  handlers: Handlers<M>,
  { address, tls, maxRequestBytes = 4 * 1024 * 1024, failed, answered = () => undefined }: ServerOptions,
): Promise<RpcServer> {
  const server = new Server({
    'grpc.max_receive_message_length': maxRequestBytes,
    'grpc.max_concurrent_streams': MAX_CALLS,
    ...(tls === undefined ? {} : KEEPALIVE),
  });
  const open = new Set<AbortController>();
  server.addService(definitionOf(service), implementationOf(service, handlers, { open, failed, answered }));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentialsOf(tls), (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  return {
    port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        for (const call of open) call.abort();
        const cut = setTimeout(() => server.forceShutdown(), GRACE_MS);
        server.tryShutdown(() => (clearTimeout(cut), resolve()));
      }),
  };
}

const credentialsOf = (tls: ServerTls | undefined): ServerCredentials =>
  tls === undefined
    ? ServerCredentials.createInsecure()
    : ServerCredentials.createSsl(null, [
        { private_key: Buffer.from(tls.keyPem), cert_chain: Buffer.from(tls.certificatePem) },
      ]);

interface Life {
  /** Every call that was begun and is not answered. */
  readonly open: Set<AbortController>;
  readonly failed: (err: unknown) => void;
  readonly answered: (method: string, code: string) => void;
}

type AnyHandler = (request: unknown, context: CallContext | StreamContext<unknown>) => unknown;

function implementationOf<M extends Methods>(
  service: Service<M>,
  handlers: Handlers<M>,
  life: Life,
): UntypedServiceImplementation {
  const entries = Object.entries(service.methods).map(([name, method]) => {
    const handler = counted(handlers[name] as AnyHandler, (code) => life.answered(name, code));
    return [name, method.streams ? streaming(handler, life) : answering(handler, life)];
  });
  return Object.fromEntries(entries) as UntypedServiceImplementation;
}

/** Tells of each call how it ended. */
const counted =
  (handler: AnyHandler, ended: (code: string) => void): AnyHandler =>
  async (request, context) => {
    try {
      const response = await handler(request, context);
      ended('OK');
      return response;
    } catch (error) {
      ended(error instanceof RpcError ? error.code : 'INTERNAL');
      throw error;
    }
  };

const answering =
  (handler: AnyHandler, life: Life) =>
  (call: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<unknown>): void => {
    const abort = begin(call, life);
    const answer = async (): Promise<unknown> => handler(call.request, contextOf(call, abort.signal));
    answer()
      .finally(() => life.open.delete(abort))
      .then(
        (response) => done(null, response),
        (error: unknown) => done(failureOf(error, life)),
      );
  };

const streaming =
  (handler: AnyHandler, life: Life) =>
  (call: ServerWritableStream<unknown, unknown>): void => {
    const abort = begin(call, life);
    const { signal } = abort;
    const over = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    const send = (response: unknown): void => {
      if (!signal.aborted) call.write(response);
    };
    const serve = async (): Promise<unknown> => handler(call.request, { ...contextOf(call, signal), send, over });
    serve()
      .finally(() => life.open.delete(abort))
      .then(
        () => call.end(),
        (error: unknown) => call.emit('error', failureOf(error, life)),
      );
  };

interface AnyCall {
  readonly cancelled: boolean;
  readonly metadata: Metadata;
  getDeadline(): Date | number;
  on(event: 'cancelled', listener: () => void): unknown;
}

/** Takes up a call: it is aborted when its caller gives up, or the server ends. */
function begin(call: AnyCall, { open }: Life): AbortController {
  const abort = new AbortController();
  const cancel = (): void => {
    open.delete(abort);
    abort.abort();
  };
  open.add(abort);
  if (call.cancelled) cancel();
  else call.on('cancelled', cancel);
  return abort;
}

const contextOf = (call: AnyCall, signal: AbortSignal): CallContext => ({
  signal,
  deadlineMs: Number(call.getDeadline()),
  header(name) {
    const [value] = call.metadata.get(name);
    return typeof value === 'string' ? value : undefined;
  },
});

function failureOf(error: unknown, { failed }: Life): Partial<StatusObject> & { readonly code: status } {
  if (error instanceof RpcError) {
    const metadata = new Metadata();
    if (error.reason !== undefined) metadata.set(REASON_TRAILER, error.reason);
    return { code: status[error.code], details: error.message, metadata };
  }
  failed(error);
  return { code: status.INTERNAL, details: 'the call failed; the log says why' };
}
