import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import type { Input, Output } from '../lib/protobuf/message.ts';
import type { Method, Methods, Service } from '../lib/protobuf/service.ts';
import { encoderOf } from './definition.ts';
import { codeOf, REASON_TRAILER, RpcError } from './rpc-error.ts';

export interface CallOptions {
  readonly timeoutMs: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface StreamOptions {
  readonly signal: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
}

type Call<M> =
  M extends Method<infer Q, infer R, infer Streams>
    ? Streams extends true
      ? (request: Input<Q>, options: StreamOptions) => AsyncIterable<Output<R>>
      : (request: Input<Q>, options: CallOptions) => Promise<Output<R>>
    : never;

/** They fail with an RpcError and with nothing else. A stream ends without one when the signal is aborted. */
export type RpcClient<M extends Methods> = { readonly [K in keyof M]: Call<M[K]> } & Disposable;

export interface ClientOptions {
  /** `unix:/path`, `host:port`, or several hosts: `dns:///name:port`, `ipv4:a:port,b:port`. */
  readonly address: string;
  /** The certificate that the server's must come from; without it the connection is not encrypted. */
  readonly caPem?: string;
  /** The name that the server's certificate must have, where it is not the host of the address. */
  readonly serverName?: string;
  /** Calls go to the hosts in turn, so that one that refuses is followed by another. */
  readonly inTurn?: boolean;
  /** The longest answer that is read. @default 4 MiB */
  readonly maxResponseBytes?: number;
}

/** A stream over a network must notice that the other side has lost its power: it would say nothing for ever. */
const KEEPALIVE = { 'grpc.keepalive_time_ms': 10_000, 'grpc.keepalive_timeout_ms': 5000 };

/** A client over one connection, which is made when it is needed. */
export function rpcClient<M extends Methods>(service: Service<M>, options: ClientOptions): RpcClient<M> {
  const { address, caPem, serverName, inTurn = false, maxResponseBytes = 4 * 1024 * 1024 } = options;
  const security = caPem === undefined ? credentials.createInsecure() : credentials.createSsl(Buffer.from(caPem));
  const client = new Client(address, security, {
    'grpc.max_receive_message_length': maxResponseBytes,
    'grpc.enable_retries': 0, // Whoever calls knows whether it may call again.
    'grpc.use_local_subchannel_pool': 1, // A new client connects at once, whatever back-off an earlier one is in.
    'grpc.service_config_disable_resolution': 1,
    ...(caPem === undefined ? {} : KEEPALIVE),
    ...(inTurn ? { 'grpc.service_config': '{"loadBalancingConfig":[{"round_robin":{}}]}' } : {}),
    ...(serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName }),
  });
  const methods = Object.entries(service.methods).map(([name, method]) => {
    const path = `/${service.name}/${name}`;
    return [name, method.streams ? streaming(client, path, method) : answering(client, path, method)];
  });
  return { ...Object.fromEntries(methods), [Symbol.dispose]: () => client.close() } as RpcClient<M>;
}

type AnyMethod = Methods[string];

const answering =
  (client: Client, path: string, { request, response }: AnyMethod) =>
  (message: unknown, { timeoutMs, headers = {} }: CallOptions): Promise<unknown> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        encoderOf(request),
        (bytes) => response.decode(bytes),
        message,
        metadataOf(headers),
        { deadline: Date.now() + timeoutMs },
        (error, answer) => (error === null ? resolve(answer) : reject(failureOf(error))),
      );
    });

const streaming = (client: Client, path: string, { request, response }: AnyMethod) =>
  async function* (message: unknown, { signal, headers = {} }: StreamOptions): AsyncGenerator<unknown> {
    const decode = (bytes: Uint8Array): unknown => response.decode(bytes);
    const call = client.makeServerStreamRequest(path, encoderOf(request), decode, message, metadataOf(headers));
    const cancel = (): void => call.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      if (signal.aborted) return;
      yield* call;
    } catch (error) {
      if (!signal.aborted) throw failureOf(error as ServiceError);
    } finally {
      signal.removeEventListener('abort', cancel);
      call.on('error', () => undefined); // Whoever stops reading has no use for how it ended.
      call.cancel();
    }
  };

function metadataOf(headers: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}

function failureOf({ code, details, message, metadata, cause }: ServiceError): RpcError {
  const [reason] = metadata?.get(REASON_TRAILER) ?? [];
  const options = { reason: typeof reason === 'string' ? reason : undefined, cause };
  return new RpcError(codeOf(code), details === '' ? message : details, options);
}
