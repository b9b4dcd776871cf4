import type { Clock } from '../lib/clock.ts';
import { readLedgers } from './ledger-directory.ts';
import { nextSample, noUsage, type UsageSample } from './usage.ts';

const INTERVAL_MS = 1000;

export interface UsageSampler extends Disposable {
  /** What the accounts say at this moment; utilisation is that of the last one to two seconds. */
  readonly current: () => UsageSample;
}

/** Reads the accounts of the node every second, so that there is a moment before to compare the present one with. */
export function startUsageSampler(directory: string, clock: Clock, failed: (err: unknown) => void): UsageSampler {
  let [earlier, latest] = [noUsage, noUsage];
  let timer: Disposable;
  const sampleAfter = (before: UsageSample): UsageSample =>
    nextSample(before, readLedgers(directory), clock.now().getTime());

  const schedule = (): void => {
    timer = clock.after(INTERVAL_MS, () => {
      try {
        [earlier, latest] = [latest, sampleAfter(latest)];
      } catch (err) {
        failed(err);
      }
      schedule();
    });
  };
  schedule();
  return { current: () => sampleAfter(earlier), [Symbol.dispose]: () => timer[Symbol.dispose]() };
}
