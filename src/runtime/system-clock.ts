import type { Clock } from '../lib/clock.ts';

/** The system's clock. Its timers keep the process alive until they ran or were disposed. */
export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
