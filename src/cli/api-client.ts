import { request, type IncomingMessage } from 'node:http';
import { isStatus, type Status } from '../api/status.ts';
import { lineSplitter } from '../lib/line-splitter.ts';
import { socketPath } from '../ipc/socket-path.ts';
import { CommandError } from './failure.ts';

/** The server's refusal. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  readonly status: Status;

  constructor(status: Status) {
    super(status.message);
    this.status = status;
  }
}

export const isNotFound = (error: unknown): boolean => error instanceof ServerError && error.status.code === 404;

export interface Reply {
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  /** @default application/json */
  readonly contentType?: string;
}

/** Speaks to the API of a running `aquifer serve`. */
export interface ApiClient {
  /** @throws ServerError for the server's refusal, CommandError when no serve answers. */
  call(call: Call): Promise<Reply>;
  /** Objects as JSON lines, until the signal or the server ends them. */
  watch(path: string, signal: AbortSignal): AsyncIterable<unknown>;
}

// A watch event carries one object, which the server keeps below 1 MiB.
const MAX_LINE_BYTES = 4 * 1024 * 1024;

export function apiClient(socket: string, dataDir: string): ApiClient {
  return {
    async call(call) {
      const response = await send(socket, dataDir, call);
      const chunks: Buffer[] = [];
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
      const body = parse(Buffer.concat(chunks).toString('utf8'));
      if (isStatus(body) && body.status === 'Failure') throw new ServerError(body);
      return { body, headers: response.headers };
    },

    async *watch(path, signal) {
      const response = await send(socket, dataDir, { method: 'GET', path }, signal);
      const lines = lineSplitter(MAX_LINE_BYTES);
      try {
        for await (const chunk of response as AsyncIterable<Buffer>) {
          for (const line of lines.push(chunk) ?? []) yield parse(line);
        }
      } catch (error) {
        if (!signal.aborted) throw new CommandError('the connection to serve was lost', { cause: error });
      }
    },
  };
}

function send(socket: string, dataDir: string, call: Call, signal?: AbortSignal): Promise<IncomingMessage> {
  const { method, path, body, contentType = 'application/json' } = call;
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers = text === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const unreachable = (cause: unknown): void => reject(signal?.aborted === true ? cause : noServe(dataDir, cause));
    let address: ReturnType<typeof socketPath>;
    try {
      address = socketPath(socket);
    } catch (error) {
      return unreachable(error);
    }
    const abortable = signal === undefined ? {} : { signal };
    const asking = request({ socketPath: address.path, method, path, headers, ...abortable }, resolve);
    asking.once('error', unreachable);
    asking.once('close', () => address[Symbol.dispose]());
    asking.end(text);
  });
}

function noServe(dataDir: string, cause: unknown): CommandError {
  const denied = cause instanceof Error && Reflect.get(cause, 'code') === 'EACCES';
  const why = denied
    ? `this user may not speak to the serve on ${dataDir}`
    : `no aquifer serve runs on ${dataDir}: start one with 'aquifer serve', or say which with --data-dir`;
  return new CommandError(why, { cause });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new CommandError('serve sent an answer that is not JSON', { cause });
  }
}
