import type { Clock } from '../../src/lib/clock.ts';

/** A clock that stands still until it is turned. */
export class ManualClock implements Clock {
  #nowMs: number;
  #setBackMs = 0;
  readonly #timers = new Set<{ readonly dueMs: number; readonly callback: () => void }>();

  constructor(start = '2026-01-01T00:00:00.000Z') {
    this.#nowMs = Date.parse(start);
  }

  now(): Date {
    return new Date(this.#nowMs - this.#setBackMs);
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  /** Sets the time of day back, as somebody at the machine might. */
  setBack(ms: number): void {
    this.#setBackMs += ms;
  }

  after(ms: number, callback: () => void): Disposable {
    const timer = { dueMs: this.#nowMs + ms, callback };
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) };
  }

  /** Time that passes while the process stands still: no timer runs. */
  jump(ms: number): void {
    this.#nowMs += ms;
  }

  /** Timers that have not run. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Turns the clock, runs what becomes due in the order of its time, and lets promises settle after each. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const [next] = [...this.#timers].filter((t) => t.dueMs <= endMs).toSorted((a, b) => a.dueMs - b.dueMs);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.callback();
      await settle();
    }
    this.#nowMs = endMs;
    await settle();
  }
}

const ROUNDS = 20; // More turns of the event loop than any chain of awaits and commits in a test needs.

/** Lets everything run that waits for nothing but its turn. */
export async function settle(): Promise<void> {
  for (let i = 0; i < ROUNDS; i++) await new Promise((resolve) => setImmediate(resolve));
}
