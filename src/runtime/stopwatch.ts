import type { Clock } from '../lib/clock.ts';

export interface Stopwatch {
  elapsedMs(): number;
}

/**
 * Time since now, never less than what has really passed. Neither clock does for that alone: the system's may be set back,
 * and the monotonic one stands still while a virtual machine is suspended.
 */
export function stopwatch(clock: Clock): Stopwatch {
  const [wallMs, monotonicMs] = [clock.now().getTime(), clock.monotonicMs()];
  return { elapsedMs: () => Math.max(clock.now().getTime() - wallMs, clock.monotonicMs() - monotonicMs) };
}
