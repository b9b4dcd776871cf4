import { describe } from '@jest/globals';
import { describeConcurrency } from './conformance/concurrency.ts';
import type { MakeStore } from './conformance/fixture.ts';
import { describeDelete, describeStatus } from './conformance/lifecycle.ts';
import { describeCreate, describePatch, describeRead } from './conformance/objects.ts';
import { describeEvents, describeWatch } from './conformance/watch.ts';

/** What every store must do, whatever it is made of. Each adapter calls this with a way to make one. */
export function describeStore(name: string, makeStore: MakeStore): void {
  describe(name, () => {
    describeCreate(makeStore);
    describeRead(makeStore);
    describePatch(makeStore);
    describeStatus(makeStore);
    describeDelete(makeStore);
    describeWatch(makeStore);
    describeEvents(makeStore);
    describeConcurrency(makeStore);
  });
}
