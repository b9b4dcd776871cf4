import type { GPUPool } from '../../api/kinds.ts';
import type { Snapshot } from '../../core/allocation/snapshot.ts';
import type { Clock } from '../../lib/clock.ts';
import { done, type Controller } from '../../runtime/controller.ts';
import { conditionOf } from '../condition.ts';
import type { Amounts } from '../inventory.ts';
import type { ClaimsOnPool } from './claim-counts.ts';
import type { EventSink } from '../../runtime/event-recorder.ts';
import { poolStatus, type PoolStatus } from './status.ts';

export interface PoolDeps {
  readonly pools: { patchStatus(pool: GPUPool, status: PoolStatus): Promise<boolean> };
  readonly inventory: { snapshot(): Snapshot; promisedIn(pool: string): Amounts };
  /** How many claims name the pool, by whether they have their vGPUs. */
  readonly claimsOn: (pool: string) => ClaimsOnPool;
  readonly events: EventSink;
  readonly clock: Clock;
}

/** Says of each pool what it has, what is promised of it, and whether it can serve. */
export function poolController({ pools, inventory, claimsOn, events, clock }: PoolDeps): Controller<GPUPool> {
  return {
    name: 'gpupool',
    concurrency: 2,

    async reconcile(pool) {
      const { name, uid } = pool.metadata;
      const snapshot = inventory.snapshot();
      const entry = snapshot.pools.get(name);
      if (entry === undefined) return done; // It went away between the queue and here.
      const promised = inventory.promisedIn(name);
      const status = poolStatus(pool, entry, { snapshot, promised, claims: claimsOn(name), now: clock.now() });

      const changed = await pools.patchStatus(pool, status);
      const ready = conditionOf(status.conditions, 'Ready');
      if (changed && ready !== undefined && ready.reason !== conditionOf(pool.status?.conditions, 'Ready')?.reason) {
        const type = ready.status === 'True' ? 'Normal' : 'Warning';
        events.record({ kind: 'GPUPool', name, uid }, { type, reason: ready.reason, message: ready.message });
      }
      return done;
    },
  };
}
