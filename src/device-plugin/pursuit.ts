import type { Clock } from '../lib/clock.ts';
import { backoffMs } from '../runtime/backoff.ts';

/** Work towards a state that the world may leave at any time. */
export interface Pursuit extends AsyncDisposable {
  /** Something may have changed: work is taken up at once, or again after what is under way. */
  readonly look: () => void;
}

export interface PursuitOptions {
  readonly clock: Clock;
  /** Does what there is to do, if anything. When it throws it is called again, later each time. */
  readonly advance: () => Promise<void>;
  readonly failed: (err: unknown, retryMs: number) => void;
}

const RETRY = { baseMs: 50, capMs: 5000 };

export function pursue({ clock, advance, failed }: PursuitOptions): Pursuit {
  let underWay: Promise<void> | undefined;
  let isDue = false;
  let failures = 0;
  let retry: Disposable | undefined;
  let stopped = false;

  const attempt = async (): Promise<void> => {
    retry?.[Symbol.dispose]();
    while (isDue && !stopped) {
      isDue = false;
      try {
        await advance();
        failures = 0;
      } catch (err) {
        failures++;
        const retryMs = backoffMs(failures, RETRY);
        failed(err, retryMs);
        retry?.[Symbol.dispose]();
        if (!stopped) retry = clock.after(retryMs, look);
      }
    }
    underWay = undefined;
  };

  function look(): void {
    isDue = true;
    if (!stopped) underWay ??= Promise.resolve().then(attempt); // Later: what it does may call us before it returns.
  }
  return {
    look,
    async [Symbol.asyncDispose]() {
      stopped = true;
      retry?.[Symbol.dispose]();
      await underWay;
    },
  };
}
