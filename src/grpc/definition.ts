import { logVerbosity, setLogVerbosity, type MethodDefinition, type ServiceDefinition } from '@grpc/grpc-js';
import type { MessageType } from '../lib/protobuf/message.ts';
import type { AnyMessage, Methods, Service } from '../lib/protobuf/service.ts';

setLogVerbosity(logVerbosity.NONE); // It writes text to stderr of what it throws or returns anyway.

/** A service as grpc-js wants it. */
export function definitionOf<M extends Methods>({ name, methods }: Service<M>): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(methods).map(([method, { request, response, streams }]) => [
      method,
      methodDefinition(`/${name}/${method}`, request, { response, streams }),
    ]),
  );
}

function methodDefinition(
  path: string,
  request: AnyMessage,
  { response, streams }: { readonly response: AnyMessage; readonly streams: boolean },
): MethodDefinition<unknown, unknown> {
  return {
    path,
    requestStream: false,
    responseStream: streams,
    requestSerialize: encoderOf(request),
    requestDeserialize: (bytes) => request.decode(bytes),
    responseSerialize: encoderOf(response),
    responseDeserialize: (bytes) => response.decode(bytes),
  };
}

/** grpc-js has values of any type; handlers and clients are typed by the service. */
export const encoderOf =
  (type: AnyMessage) =>
  (value: unknown): Buffer =>
    Buffer.from((type as MessageType<unknown, unknown>).encode(value));
