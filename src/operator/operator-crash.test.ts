import { afterEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gpu, recordingLog } from '../../test/support/builders.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { Kinds } from '../api/kinds.ts';
import { openEmbeddedStore } from '../embedded/store.ts';
import { localHeartbeats } from '../runtime/heartbeats.ts';
import type { Store } from '../runtime/store.ts';
import { startOperator } from './operator.ts';

let cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
  cleanups = [];
});

/** One node with one GPU of 8Gi, and three claims of 4Gi: two fit. */
async function world() {
  const clock = new ManualClock();
  const directory = mkdtempSync(join(tmpdir(), 'aquifer-crash-'));
  cleanups.push(() => rmSync(directory, { recursive: true }));
  const store = openEmbeddedStore({ directory, clock });
  cleanups.push(() => store[Symbol.dispose]());
  await store.create('GPUPool', { apiVersion: 'aquifer.dev/v1alpha1', kind: 'GPUPool', metadata: { name: 'default' } });
  await store.create('GPUNode', { apiVersion: 'aquifer.dev/v1alpha1', kind: 'GPUNode', metadata: { name: 'gpu-1' } });
  const agent = { version: '1', endpoint: 'gpu-1:9960' };
  const condition = {
    type: 'Ready',
    status: 'True',
    reason: 'AgentReady',
    message: 'x',
    lastTransitionTime: clock.now().toISOString(),
  };
  const status = { agent, gpus: [gpu('GPU-a')], conditions: [condition] };
  await store.patch('GPUNode', { name: 'gpu-1' }, { status }, { subresource: 'status' });
  for (const name of ['one', 'two', 'three']) {
    await store.create('VGPUClaim', {
      apiVersion: 'aquifer.dev/v1alpha1',
      kind: 'VGPUClaim',
      metadata: { name, namespace: 'team-a' },
      spec: { poolName: 'default', resources: { memory: '4Gi', compute: 25 } },
    });
  }
  return { clock, store };
}

/**
 * A store whose user is killed at its n-th write, before or after the write lands: nothing it asks for is answered from
 * then on, and nothing more of it arrives.
 */
function dyingAt(
  store: Store<Kinds>,
  n: number,
  when: 'before' | 'after',
): { store: Store<Kinds>; died: () => boolean } {
  let writes = 0;
  let dead = false;
  const never = <T>() => new Promise<T>(() => undefined);
  const patch: Store<Kinds>['patch'] = async (...args) => {
    if (dead) return never();
    dead = ++writes >= n;
    if (!dead) return store.patch(...args);
    if (when === 'after') await store.patch(...args);
    return never();
  };
  const recordEvent: Store<Kinds>['recordEvent'] = (...args) => (dead ? never() : store.recordEvent(...args));
  return { store: { ...store, patch, recordEvent }, died: () => dead };
}

const WRITES = 12; // Finalizer, bind or refusal of each claim, and the summaries of pool and node.
const steps = Array.from({ length: WRITES }, (_, i) => i + 1).flatMap((n) => [
  [n, 'before'] as const,
  [n, 'after'] as const,
]);

describe('an operator that is killed', () => {
  test.each(steps)('at write %d, %s it lands, leaves no double promise and no lost claim', async (n, when) => {
    const { clock, store } = await world();
    const promised = async (): Promise<number> => {
      const { items } = await store.list('VGPUClaim');
      return items.flatMap(({ status }) => status?.allocations ?? []).length * 4;
    };
    const dying = dyingAt(store, n, when);
    const sessions = { close: () => Promise.resolve('closed' as const) };
    const options = { heartbeats: localHeartbeats(clock), sessions, clock, log: recordingLog() };
    void startOperator({ ...options, store: dying.store });
    await clock.advance(400);
    if (n <= 5) expect(dying.died()).toBe(true);
    expect(await promised()).toBeLessThanOrEqual(8);

    const second = startOperator({ ...options, store });
    cleanups.push(() => second.stop());
    for (let i = 0; i < 20; i++) {
      await clock.advance(50);
      expect(await promised()).toBeLessThanOrEqual(8);
    }
    const { items } = await store.list('VGPUClaim');
    expect(items.filter(({ status }) => status?.phase === 'Bound')).toHaveLength(2);
    expect(items.filter(({ status }) => status?.phase === 'Pending')).toHaveLength(1);
    for (const { metadata } of items) await store.delete('VGPUClaim', { namespace: 'team-a', name: metadata.name });
    await clock.advance(2000);
    expect((await store.list('VGPUClaim')).items).toEqual([]);
  });
});
