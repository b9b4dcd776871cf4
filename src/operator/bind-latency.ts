import type { VGPUClaim } from '../api/kinds.ts';
import type { Clock } from '../lib/clock.ts';
import type { Change } from '../runtime/informer.ts';
import { stopwatch, type Stopwatch } from '../runtime/stopwatch.ts';

/** Measures how long claims wait: from when one is first seen until its status that says Bound is read back. */
export function bindLatency(clock: Clock, observe: (ms: number) => void): (change: Change<VGPUClaim>) => void {
  const waiting = new Map<string, Stopwatch>();
  const settle = (uid: string): void => {
    const waited = waiting.get(uid);
    waiting.delete(uid);
    if (waited !== undefined) observe(waited.elapsedMs());
  };
  return ({ before, after }) => {
    const isNew = before?.metadata.uid !== after?.metadata.uid;
    if (isNew && before !== undefined) waiting.delete(before.metadata.uid);
    if (after === undefined) return;
    if (after.status?.phase === 'Bound') settle(after.metadata.uid);
    else if (isNew) waiting.set(after.metadata.uid, stopwatch(clock));
  };
}
