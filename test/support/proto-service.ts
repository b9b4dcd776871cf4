import type { ServiceDefinition } from '@grpc/grpc-js';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import protobuf from 'protobufjs';

type Json = Readonly<Record<string, unknown>>;

/** A service as its `.proto` says, by a codec that is not the product's: what the product gets wrong does not fit it. */
export function serviceFromProto(file: string, name: string): ServiceDefinition {
  const path = resolve(import.meta.dirname, '../../src/protocol', file);
  const service = protobuf.parse(readFileSync(path, 'utf8')).root.lookupService(name);
  const methods = service.methodsArray.map((method) => {
    method.resolve();
    const { resolvedRequestType: request, resolvedResponseType: response } = method;
    if (request === null || response === null) throw new Error(`${method.name} has no types`);
    const definition = {
      path: `/${name}/${method.name}`,
      requestStream: false,
      responseStream: method.responseStream === true,
      requestSerialize: encoder(request),
      requestDeserialize: decoder(request),
      responseSerialize: encoder(response),
      responseDeserialize: decoder(response),
    };
    return [method.name, definition];
  });
  return Object.fromEntries(methods) as ServiceDefinition;
}

const encoder =
  (type: protobuf.Type) =>
  (value: Json): Buffer => {
    const problem = type.verify(value);
    if (problem !== null) throw new Error(problem);
    return Buffer.from(type.encode(type.fromObject(value)).finish());
  };

const decoder =
  (type: protobuf.Type) =>
  (bytes: Buffer): Json =>
    type.toObject(type.decode(bytes), { defaults: true, longs: Number }) as Json;
