import {
  Server,
  ServerCredentials,
  status,
  type Metadata,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Input, Output } from '../lib/protobuf/message.ts';
import type { Method, Methods, Service } from '../lib/protobuf/service.ts';
import { definitionOf } from './definition.ts';
import { RpcError } from './rpc-error.ts';

/** What a handler knows of its call beside the request. */
export interface CallContext {
  /** Aborted when the caller has given up, its time is over, or the server ends. */
  readonly signal: AbortSignal;
  /** When the caller will give up, in milliseconds since 1970. */
  readonly deadlineMs: number;
  /** A header of the call; undefined where there is none. */
  header(name: string): string | undefined;
}

export interface StreamContext<Response> extends CallContext {
  /** The stream stays open until the signal is aborted. */
  send(response: Response): void;
}

type Handler<M> =
  M extends Method<infer Q, infer R, infer Streams>
    ? Streams extends true
      ? (request: Output<Q>, stream: StreamContext<Input<R>>) => void
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
}

export interface RpcServer extends AsyncDisposable {
  /** The port, where the address has one. */
  readonly port: number;
}

const GRACE_MS = 2000;

/** Serves one service. Disposed, it ends its streams, lets calls end for two seconds, and cuts what is left. */
export async function serveRpc<M extends Methods>(
  service: Service<M>,
  handlers: Handlers<M>,
  { address, tls, maxRequestBytes = 4 * 1024 * 1024, failed }: ServerOptions,
): Promise<RpcServer> {
  const server = new Server({ 'grpc.max_receive_message_length': maxRequestBytes });
  const ended = new AbortController();
  server.addService(definitionOf(service), implementationOf(service, handlers, { ended: ended.signal, failed }));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentialsOf(tls), (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  return {
    port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        ended.abort();
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
  readonly ended: AbortSignal;
  readonly failed: (err: unknown) => void;
}

type AnyHandler = (request: unknown, context: StreamContext<unknown>) => unknown;

function implementationOf<M extends Methods>(
  service: Service<M>,
  handlers: Handlers<M>,
  life: Life,
): UntypedServiceImplementation {
  const entries = Object.entries(service.methods).map(([name, method]) => {
    const handler = handlers[name] as AnyHandler;
    return [name, method.streams ? streaming(handler, life) : answering(handler, life)];
  });
  return Object.fromEntries(entries) as UntypedServiceImplementation;
}

const answering =
  (handler: AnyHandler, life: Life) =>
  (call: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<unknown>): void => {
    const unheard = (): void => undefined;
    const answer = async (): Promise<unknown> => handler(call.request, { ...contextOf(call, life), send: unheard });
    answer().then(
      (response) => done(null, response),
      (error: unknown) => done(failureOf(error, life)),
    );
  };

const streaming =
  (handler: AnyHandler, life: Life) =>
  (call: ServerWritableStream<unknown, unknown>): void => {
    const context = contextOf(call, life);
    if (context.signal.aborted) return;
    const send = (response: unknown): void => {
      if (!context.signal.aborted) call.write(response);
    };
    context.signal.addEventListener('abort', () => call.end(), { once: true });
    try {
      handler(call.request, { ...context, send });
    } catch (error) {
      call.emit('error', failureOf(error, life));
    }
  };

interface AnyCall {
  readonly cancelled: boolean;
  readonly metadata: Metadata;
  getDeadline(): Date | number;
  on(event: 'cancelled', listener: () => void): unknown;
}

function contextOf(call: AnyCall, { ended }: Life): CallContext {
  const cancelled = new AbortController();
  if (call.cancelled) cancelled.abort();
  else call.on('cancelled', () => cancelled.abort());
  return {
    signal: AbortSignal.any([cancelled.signal, ended]),
    deadlineMs: Number(call.getDeadline()),
    header(name) {
      const [value] = call.metadata.get(name);
      return typeof value === 'string' ? value : undefined;
    },
  };
}

function failureOf(error: unknown, { failed }: Life): { readonly code: number; readonly details: string } {
  if (error instanceof RpcError) return { code: status[error.code], details: error.message };
  failed(error);
  return { code: status.INTERNAL, details: 'the call failed; the log says why' };
}
