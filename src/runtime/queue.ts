import type { Clock } from '../lib/clock.ts';
import { backoffMs, type BackoffOptions } from './backoff.ts';

/**
 * Keys that wait for a pass.
 *
 *     add ──> waiting ──take──> in work ──done──> gone
 *              ^  ^               │
 *      timer ──┘  └── added meanwhile: one more pass
 *
 * A key waits once however often it is added, and is never in work twice at the same time.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #backoff: BackoffOptions;
  readonly #waiting = new Set<string>();
  readonly #inWork = new Set<string>();
  readonly #addedMeanwhile = new Set<string>();
  readonly #timers = new Map<string, { readonly dueMs: number; readonly timer: Disposable }>();
  readonly #failures = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  #closed = false;

  constructor(clock: Clock, backoff: BackoffOptions = {}) {
    this.#clock = clock;
    this.#backoff = backoff;
  }

  /** Keys that wait now, without those that wait for their time. */
  get depth(): number {
    return this.#waiting.size + this.#addedMeanwhile.size;
  }

  /** Asks for a pass now; one that was due later is brought forward. */
  add(key: string): void {
    if (this.#closed) return;
    this.#dropTimer(key);
    if (this.#inWork.has(key)) {
      this.#addedMeanwhile.add(key);
      return;
    }
    if (this.#waiting.has(key)) return;
    const taker = this.#takers.shift();
    if (taker === undefined) {
      this.#waiting.add(key);
      return;
    }
    this.#inWork.add(key);
    taker(key);
  }

  /** Asks for a pass in `ms` milliseconds; if one is due earlier it stays so. */
  addAfter(key: string, ms: number): void {
    if (this.#closed || this.#waiting.has(key)) return;
    const dueMs = this.#clock.now().getTime() + ms;
    const pending = this.#timers.get(key);
    if (pending !== undefined && pending.dueMs <= dueMs) return;
    this.#dropTimer(key);
    this.#timers.set(key, { dueMs, timer: this.#clock.after(ms, () => this.add(key)) });
  }

  /** Asks for a pass after a failure: each time twice as late, until `forget`. Returns the delay. */
  retry(key: string): number {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    const ms = backoffMs(failures, this.#backoff);
    this.addAfter(key, ms);
    return ms;
  }

  /** The key has succeeded: its next failure is a first one. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The next key, in the order of asking; `undefined` once the queue is closed. Every key taken must be `done`. */
  take(): Promise<string | undefined> {
    if (this.#closed) return Promise.resolve(undefined);
    const [key] = this.#waiting;
    if (key === undefined) return new Promise((resolve) => this.#takers.push(resolve));
    this.#waiting.delete(key);
    this.#inWork.add(key);
    return Promise.resolve(key);
  }

  done(key: string): void {
    this.#inWork.delete(key);
    if (this.#addedMeanwhile.delete(key)) this.add(key);
  }

  /** Drops what waits; whoever waits for a key gets `undefined`. */
  close(): void {
    this.#closed = true;
    this.#waiting.clear();
    this.#addedMeanwhile.clear();
    for (const { timer } of this.#timers.values()) timer[Symbol.dispose]();
    this.#timers.clear();
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  #dropTimer(key: string): void {
    this.#timers.get(key)?.timer[Symbol.dispose]();
    this.#timers.delete(key);
  }
}
