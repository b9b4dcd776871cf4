import { status } from '@grpc/grpc-js';

export type RpcCode = Exclude<keyof typeof status, 'OK'>;

/** How a call failed, on either side of it: a handler throws it to refuse, a client gets it. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly code: RpcCode;
  /** One word for programs, where the service has such. */
  readonly reason: string | undefined;

  constructor(code: RpcCode, message: string, options: ErrorOptions & { readonly reason?: string | undefined } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.reason = options.reason;
  }
}

/** The trailer that carries the reason. */
export const REASON_TRAILER = 'aquifer-reason';

/** The code that a number of the wire stands for. */
export const codeOf = (number: number): RpcCode => {
  const name = status[number];
  return name === undefined || name === 'OK' ? 'UNKNOWN' : (name as RpcCode);
};
