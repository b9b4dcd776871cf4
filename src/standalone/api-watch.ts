import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Kind, Kinds } from '../api/kinds.ts';
import type { Store } from '../runtime/store.ts';
import { statusOf } from './api-failure.ts';

export interface WatchRequest {
  readonly kind: Kind;
  readonly resourceVersion: string;
  readonly namespace?: string;
  /** Only the object of this name. */
  readonly name?: string;
}

/** Sends events as JSON lines until the asker leaves or the store ends the watch, which it says in an ERROR event. */
export async function serveWatch(
  store: Store<Kinds>,
  watch: WatchRequest,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const left = new AbortController();
  response.on('close', () => left.abort());
  response.writeHead(200, { 'content-type': 'application/json' });
  response.flushHeaders();
  const { kind, name, ...rest } = watch;
  try {
    for await (const event of store.watch(kind, { ...rest, signal: left.signal })) {
      if (event.type !== 'BOOKMARK' && name !== undefined && event.object.metadata.name !== name) continue;
      if (!response.write(`${JSON.stringify(event)}\n`)) await drained(response);
    }
  } catch (error) {
    const status = statusOf(error);
    if (status === undefined) throw error;
    response.write(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
  } finally {
    response.end();
    request.destroy();
  }
}

/** Somebody who reads slowly must not make us hold what he has not read. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}
