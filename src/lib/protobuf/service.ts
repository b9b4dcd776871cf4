import type { MessageType } from './message.ts';

/** One method of a gRPC service: one message in, one message or a stream of messages out. */
export interface Method<Request extends AnyMessage, Response extends AnyMessage, Streams extends boolean> {
  readonly request: Request;
  readonly response: Response;
  readonly streams: Streams;
}

export type AnyMessage = MessageType<never, unknown>;

export type Methods = Readonly<Record<string, Method<AnyMessage, AnyMessage, boolean>>>;

/** A gRPC service as its name and methods: both ends are made from it. */
export interface Service<M extends Methods> {
  /** With its package: `v1beta1.Registration`. */
  readonly name: string;
  readonly methods: M;
}

export const unary = <Q extends AnyMessage, R extends AnyMessage>(request: Q, response: R): Method<Q, R, false> => ({
  request,
  response,
  streams: false,
});

export const stream = <Q extends AnyMessage, R extends AnyMessage>(request: Q, response: R): Method<Q, R, true> => ({
  request,
  response,
  streams: true,
});
