import { RELEASE_FINALIZER } from '../src/api/vgpu-claim.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { claimDraft, NAMESPACE, type ClaimCluster } from './claim-cluster.ts';

const CREATING = 16;
const CREATING_AND_BINDING = 32; // As many as the creator and the operator have together.

/** Applies claims and leaves the rest to the operator. @returns milliseconds until all were seen Bound. */
export function apply({ store, seenBound }: ClaimCluster, names: readonly string[]): Promise<number> {
  return untilBound(seenBound, names, () =>
    inFlight(names, CREATING, async (name) => void (await store.create('VGPUClaim', claimDraft(name)))),
  );
}

/** A client that decides nothing makes all writes itself: creator's, operator's, and the event. @returns as `apply` does. */
export function writeAll({ store, seenBound }: ClaimCluster, names: readonly string[]): Promise<number> {
  return untilBound(seenBound, names, () =>
    inFlight(names, CREATING_AND_BINDING, async (name) => {
      const key = { namespace: NAMESPACE, name };
      const { metadata } = await store.create('VGPUClaim', claimDraft(name));
      const guard = { metadata: { finalizers: [RELEASE_FINALIZER] } };
      const { resourceVersion } = (await store.patch('VGPUClaim', key, guard, metadata)).metadata;
      const options = { subresource: 'status', resourceVersion } as const;
      await store.patch('VGPUClaim', key, { status: boundStatus() }, options);
      await store.recordEvent({ kind: 'VGPUClaim', ...key, uid: metadata.uid }, EVENT);
    }),
  );
}

/** Applies a claim so many times a second, whatever becomes of those before. @returns milliseconds from when each was due. */
export async function applyAtRate(
  { store, seenBound }: ClaimCluster,
  names: readonly string[],
  perSecond: number,
): Promise<readonly number[]> {
  const from = performance.now();
  const waits = names.map(async (name, i) => {
    const dueMs = from + (i * 1000) / perSecond;
    await sleep(Math.max(0, dueMs - performance.now()));
    const bound = seenBound(name);
    await store.create('VGPUClaim', claimDraft(name));
    return (await bound) - dueMs;
  });
  return Promise.all(waits);
}

async function untilBound(
  seenBound: (name: string) => Promise<number>,
  names: readonly string[],
  write: () => Promise<void>,
): Promise<number> {
  const from = performance.now();
  const bound = Promise.all(names.map(seenBound));
  await write();
  await bound;
  return performance.now() - from;
}

/** Runs `one` for each item, so many at a time. */
async function inFlight<T>(items: readonly T[], many: number, one: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  const work = async (): Promise<void> => {
    for (const item of left) await one(item);
  };
  await Promise.all(Array.from({ length: many }, work));
}

const PLACE = { node: 'node-000', gpu: 'GPU-00000000' };
const EVENT = { type: 'Normal', reason: 'Bound', message: `bound to ${PLACE.gpu} of ${PLACE.node}` } as const;

/** As many bytes as the operator writes. */
const boundStatus = () => ({
  phase: 'Bound',
  observedGeneration: 1,
  allocations: [{ vgpu: 0, ...PLACE, memory: '4Gi', compute: 10, endpoint: `${PLACE.node}:9960` }],
  conditions: [
    {
      type: 'Bound',
      status: 'True',
      reason: EVENT.reason,
      message: EVENT.message,
      observedGeneration: 1,
      lastTransitionTime: new Date().toISOString(),
    },
  ],
});
