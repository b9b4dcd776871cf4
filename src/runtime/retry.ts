import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { backoffMs } from './backoff.ts';
import { sleep } from './sleep.ts';

const RETRY = { baseMs: 200, capMs: 10_000 };

export interface RetryOptions {
  /** What is being tried, for the log. */
  readonly what: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Tries until it succeeds, later each time; undefined if the signal comes first. */
export async function untilDone<T>(
  attempt: () => Promise<T>,
  { what, clock, log, signal }: RetryOptions,
): Promise<T | undefined> {
  for (let failures = 1; !signal.aborted; failures++) {
    try {
      return await attempt();
    } catch (err) {
      log.warn('not possible yet', { what, failures, err });
    }
    await sleep(clock, backoffMs(failures, RETRY), signal);
  }
  return undefined;
}
