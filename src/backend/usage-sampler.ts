import type { Clock } from '../lib/clock.ts';
import { readLedgers } from './ledger-directory.ts';
import { nextSample, noUsage, type UsageSample } from './usage.ts';

const INTERVAL_MS = 1000;

export interface UsageSampler extends Disposable {
  readonly latest: () => UsageSample;
}

/** Reads the accounts of the node every second. */
export function startUsageSampler(directory: string, clock: Clock, failed: (err: unknown) => void): UsageSampler {
  let sample = noUsage;
  let timer: Disposable;
  const schedule = (): void => {
    timer = clock.after(INTERVAL_MS, () => {
      try {
        sample = nextSample(sample, readLedgers(directory), clock.now().getTime());
      } catch (err) {
        failed(err);
      }
      schedule();
    });
  };
  schedule();
  return { latest: () => sample, [Symbol.dispose]: () => timer[Symbol.dispose]() };
}
