import { isStatus } from '../api/status.ts';
import type { Clock } from '../lib/clock.ts';
import { lineSplitter } from '../lib/line-splitter.ts';
import { StoreError } from '../runtime/store.ts';
import type { Call, Connection } from './connection.ts';
import { connectionError, watchError } from './errors.ts';

const MAX_EVENT_BYTES = 16 * 1024 * 1024; // etcd takes objects of 1.5 MiB; this only bounds what a broken peer can make us hold.

/**
 * Where nothing else happens the API server sends a bookmark a minute, the first after two: a watch that is silent for
 * longer is dead. A peer that is gone altogether is noticed by the kernel within half a minute, see `keepAliveMsecs`.
 */
export const SILENCE_MS = 180_000;

export interface RawEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: unknown;
}

export interface WatchDeps {
  readonly connection: Pick<Connection, 'open'>;
  readonly clock: Clock;
}

/** The events of one watch, until the server ends it or `signal` does. @throws StoreError for any other end. */
export async function* watchEvents({ connection, clock }: WatchDeps, call: Call, signal: AbortSignal) {
  if (signal.aborted) return;
  const dead = new AbortController();
  const both = AbortSignal.any([signal, dead.signal]);
  const watchdog = new Watchdog(clock, () => dead.abort(new Error(`silent for ${SILENCE_MS / 1000} s`)));
  try {
    const response = await connection.open(call, both);
    const splitter = lineSplitter(MAX_EVENT_BYTES);
    for await (const chunk of response) {
      watchdog.heard();
      const lines = splitter.push(chunk as Uint8Array);
      if (lines === undefined) throw new Error(`an event of more than ${MAX_EVENT_BYTES} bytes`);
      for (const line of lines) yield eventOf(call, line);
    }
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof StoreError && !dead.signal.aborted) throw error;
    throw connectionError(call, dead.signal.aborted ? dead.signal.reason : error, true);
  } finally {
    watchdog[Symbol.dispose]();
    dead.abort();
  }
}

function eventOf(call: Call, line: string): RawEvent {
  const event = JSON.parse(line) as { readonly type: string; readonly object: unknown };
  if (event.type !== 'ERROR') return event as RawEvent;
  if (isStatus(event.object)) throw watchError(call, event.object);
  throw new Error('an error without words');
}

/** Bites unless it hears something from time to time. */
class Watchdog implements Disposable {
  readonly #clock: Clock;
  readonly #bite: () => void;
  #timer: Disposable;

  constructor(clock: Clock, bite: () => void) {
    this.#clock = clock;
    this.#bite = bite;
    this.#timer = clock.after(SILENCE_MS, bite);
  }

  heard(): void {
    this.#timer[Symbol.dispose]();
    this.#timer = this.#clock.after(SILENCE_MS, this.#bite);
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }
}
