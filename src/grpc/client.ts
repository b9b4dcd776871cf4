import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import type { Input, Output } from '../lib/protobuf/message.ts';
import type { Method, Methods, Service } from '../lib/protobuf/service.ts';
import { encoderOf } from './definition.ts';
import { codeOf, RpcError } from './rpc-error.ts';

export interface CallOptions {
  readonly timeoutMs: number;
  readonly headers?: Readonly<Record<string, string>>;
}

type Unary<M> =
  M extends Method<infer Q, infer R, infer Streams>
    ? Streams extends false
      ? (request: Input<Q>, options: CallOptions) => Promise<Output<R>>
      : never
    : never;

/** The methods that answer once. They reject with an RpcError and with nothing else. */
export type RpcClient<M extends Methods> = { readonly [K in keyof M]: Unary<M[K]> } & Disposable;

export interface ClientOptions {
  /** `unix:/path` or `host:port`. */
  readonly address: string;
  /** The certificate that the server's must come from; without it the connection is not encrypted. */
  readonly caPem?: string;
  /** The name that the server's certificate must have, where it is not the host of the address. */
  readonly serverName?: string;
  /** The longest answer that is read. @default 4 MiB */
  readonly maxResponseBytes?: number;
}

/** A client over one connection, which is made when it is needed. */
export function rpcClient<M extends Methods>(service: Service<M>, options: ClientOptions): RpcClient<M> {
  const { address, caPem, serverName, maxResponseBytes = 4 * 1024 * 1024 } = options;
  const security = caPem === undefined ? credentials.createInsecure() : credentials.createSsl(Buffer.from(caPem));
  const client = new Client(address, security, {
    'grpc.max_receive_message_length': maxResponseBytes,
    'grpc.enable_retries': 0, // Whoever calls knows whether it may call again.
    'grpc.use_local_subchannel_pool': 1, // A new client connects at once, whatever back-off an earlier one is in.
    'grpc.service_config_disable_resolution': 1,
    ...(serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName }),
  });
  const methods = Object.entries(service.methods).map(([name, { request, response }]) => {
    const path = `/${service.name}/${name}`;
    const call = (message: unknown, { timeoutMs, headers = {} }: CallOptions): Promise<unknown> =>
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
    return [name, call];
  });
  return { ...Object.fromEntries(methods), [Symbol.dispose]: () => client.close() } as RpcClient<M>;
}

function metadataOf(headers: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}

const failureOf = (error: ServiceError): RpcError =>
  new RpcError(codeOf(error.code), error.details === '' ? error.message : error.details, { cause: error });
