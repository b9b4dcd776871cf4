import type { Clock } from '../lib/clock.ts';

/** Resolves after `ms`, or at once when the signal is or becomes aborted; never rejects. */
export async function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = (): void => resolve();
  const timer = clock.after(ms, stop);
  signal.addEventListener('abort', stop, { once: true });
  await promise;
  timer[Symbol.dispose]();
  signal.removeEventListener('abort', stop);
}
