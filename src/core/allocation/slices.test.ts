import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { err } from '../../lib/result.ts';
import { allocate } from './allocate.ts';
import { placeSlices, sliceSupply, type SliceWish } from './slices.ts';
import { promise, snapshotOf, type Allocation, type GpuFacts, type PoolFacts, type Snapshot } from './snapshot.ts';

const GI = 1024 ** 3;
const gpu = (uuid: string, more: Partial<GpuFacts> = {}): GpuFacts => ({
  uuid,
  model: 'A10',
  memoryBytes: 8 * GI,
  healthy: true,
  ...more,
});
const pool = (more: Partial<PoolFacts> = {}): PoolFacts => ({
  name: 'default',
  matchLabels: {},
  placement: 'Pack',
  memoryPercent: 100,
  computePercent: 100,
  slicesPerGpu: 100,
  ...more,
});
const node = (name: string, gpus: readonly GpuFacts[], ready = true) => ({ name, labels: { name }, ready, gpus });
const share = (gpuUuid: string, gib: number, computePercent: number, slices?: number): Allocation => ({
  vgpu: 0,
  node: 'n1',
  gpu: gpuUuid,
  memoryBytes: gib * GI,
  computePercent,
  ...(slices === undefined ? {} : { slices }),
});
const supplyOf = (taken: Allocation[], more: Partial<PoolFacts> = {}, gpus = [gpu('a')]) =>
  sliceSupply(snapshotOf([node('n1', gpus)], [pool(more)], taken), 'n1');

describe('the slices of a node', () => {
  test.each<[string, ReturnType<typeof supplyOf>, { capacity: number; withdrawn: number }]>([
    ['all of two GPUs', supplyOf([], {}, [gpu('a'), gpu('b')]), { capacity: 200, withdrawn: 0 }],
    ['less the memory that a claim has', supplyOf([share('a', 4, 25)]), { capacity: 100, withdrawn: 50 }],
    ['less the compute, where that is more', supplyOf([share('a', 2, 60)]), { capacity: 100, withdrawn: 60 }],
    ['a part of a slice as a whole one', supplyOf([share('a', 0.1, 1)]), { capacity: 100, withdrawn: 2 }],
    ['parts of one GPU together', supplyOf([share('a', 0.1, 1), share('a', 0.1, 1)]), { capacity: 100, withdrawn: 3 }],
    ['nothing for what is served by slices', supplyOf([share('a', 2, 25, 25)]), { capacity: 100, withdrawn: 0 }],
    ['only so much memory as may be promised', supplyOf([], { memoryPercent: 50 }), { capacity: 50, withdrawn: 0 }],
    [
      'compute that is promised twice leaves memory as it is',
      supplyOf([share('a', 2, 100)], { computePercent: 200 }),
      { capacity: 100, withdrawn: 25 },
    ],
    [
      'until the compute is less than the memory',
      supplyOf([share('a', 1, 100), share('a', 1, 75)], { computePercent: 200 }),
      { capacity: 100, withdrawn: 75 },
    ],
    ['in tenths', supplyOf([share('a', 1, 1)], { slicesPerGpu: 10 }), { capacity: 10, withdrawn: 2 }],
    [
      'one GPU that is more than full takes nothing from another',
      supplyOf([share('a', 8, 80), share('a', 2, 30)], {}, [gpu('a'), gpu('b')]),
      { capacity: 200, withdrawn: 100 },
    ],
    [
      'of a GPU that is ill, what pods have',
      supplyOf([share('a', 2, 25, 25)], {}, [gpu('a', { healthy: false })]),
      { capacity: 100, withdrawn: 75 },
    ],
  ])('%s', (_what, supply, wanted) => {
    expect(supply).toEqual(wanted);
  });

  test('none where no pool selects the node, nor on one that is not there', () => {
    const snapshot = snapshotOf([node('n1', [gpu('a')])], [pool({ matchLabels: { no: 'such' } })], []);
    expect(sliceSupply(snapshot, 'n1')).toEqual({ capacity: 0, withdrawn: 0 });
    expect(sliceSupply(snapshot, 'n2')).toEqual({ capacity: 0, withdrawn: 0 });
  });

  test('are those of the default pool, else of the first by name', () => {
    const of = (...names: string[]) => {
      const pools = names.map((name, i) => pool({ name, slicesPerGpu: 10 * (i + 1) }));
      return sliceSupply(snapshotOf([node('n1', [gpu('a')])], pools, []), 'n1').capacity;
    };
    expect([of('b', 'a'), of('a', 'default')]).toEqual([20, 20]);
  });
});

const place = (snapshot: Snapshot, count: number, wish: Partial<SliceWish> = {}) =>
  placeSlices(snapshot, { pool: 'default', count, allows: () => true, ...wish });

describe('slices are placed', () => {
  const two = snapshotOf([node('n1', [gpu('a')]), node('n2', [gpu('b', { memoryBytes: 16 * GI })])], [pool()], []);

  test('as parts of the GPU that is taken, on a node that the pod may go to', () => {
    expect(place(two, 25)).toMatchObject({ value: { node: 'n1', memoryBytes: 2 * GI, computePercent: 25 } });
    expect(place(two, 25, { allows: (name) => name === 'n2' })).toMatchObject({
      value: { node: 'n2', memoryBytes: 4 * GI, computePercent: 25 },
    });
  });

  const empty = snapshotOf([node('n1', [])], [pool()], []);
  const full = promise(two, [share('a', 4, 50), { ...share('b', 8, 50), node: 'n2' }]);
  const others = snapshotOf([node('n1', [gpu('a')])], [pool(), pool({ name: 'other', slicesPerGpu: 10 })], []);
  const away = snapshotOf([node('n1', [gpu('a')], false)], [pool()], []);
  const small = snapshotOf([node('n1', [gpu('a', { memoryBytes: 2 * GI })])], [pool()], []);
  test.each<[string, ReturnType<typeof place>, object]>([
    ['no pool', place(two, 1, { pool: 'x' }), { reason: 'PoolNotFound', pool: 'x' }],
    ['more than a GPU has', place(two, 101), { reason: 'TooManySlices', count: 101, slicesPerGpu: 100 }],
    ['less than a vGPU has', place(small, 1), { reason: 'SlicesTooSmall', count: 1, neededCount: 4 }],
    ['no GPU', place(empty, 1), { reason: 'NoGPUs', pool: 'default' }],
    [
      'no node that the pod may go to',
      place(two, 1, { allows: () => false }),
      { reason: 'NoNodeAllowed', pool: 'default', nodes: ['n1', 'n2'] },
    ],
    [
      "only nodes whose slices are another pool's",
      place(others, 1, { pool: 'other' }),
      { reason: 'NoSlices', pool: 'other' },
    ],
    ['no node that answers', place(away, 1), { reason: 'NoHealthyGPUs', gpus: 1 }],
    ['no room on one GPU', place(full, 60), { reason: 'InsufficientMemory', freeBytes: 8 * GI, node: 'n2' }],
  ])('nowhere with %s', (_what, result, refusal) => {
    expect(result).toMatchObject(err(refusal));
  });
});

const steps = fc.array(
  fc.oneof(
    fc.record({ slices: fc.integer({ min: 1, max: 100 }) }),
    fc.record({ mib: fc.integer({ min: 64, max: 8192 }), percent: fc.integer({ min: 1, max: 100 }) }),
  ),
  { maxLength: 40 },
);
const policy = fc.record({
  slicesPerGpu: fc.integer({ min: 1, max: 100 }),
  memoryPercent: fc.integer({ min: 1, max: 100 }),
  computePercent: fc.integer({ min: 100, max: 300 }),
});
const sizes = fc.array(fc.integer({ min: 1, max: 24 }), { minLength: 1, maxLength: 3 });

test('whatever is asked for, kubelet is never told fewer slices than pods were given, and fewer with each claim', () => {
  fc.assert(
    fc.property(steps, policy, sizes, (wanted, more, gib) => {
      const gpus = gib.map((size, i) => gpu(`g${i}`, { memoryBytes: size * GI }));
      let snapshot = snapshotOf([node('n1', gpus)], [pool(more)], []);
      const offered = (): number => {
        const { capacity, withdrawn } = sliceSupply(snapshot, 'n1');
        expect(withdrawn).toBeGreaterThanOrEqual(0);
        return capacity - withdrawn;
      };
      let given = 0;
      for (const step of wanted) {
        const before = offered();
        const request = 'slices' in step ? sliceRequest(snapshot, step.slices) : claimRequest(step);
        const result = request && allocate(snapshot, request);
        if (result?.ok !== true) continue;
        if ('slices' in step) given += step.slices;
        snapshot = promise(snapshot, result.value);
        const after = offered();
        expect(after).toBeGreaterThanOrEqual(given);
        // A share is rounded down to bytes and percents: what pods leave may add up to one slice more.
        expect(after).toBeLessThanOrEqual('slices' in step ? before + 1 : before);
      }
    }),
  );
});

function sliceRequest(snapshot: Snapshot, count: number) {
  const placed = place(snapshot, count);
  if (!placed.ok) return undefined;
  const { node: name, memoryBytes, computePercent } = placed.value;
  return { ...claimRequest({ mib: 0, percent: computePercent }), memoryBytes, slices: { node: name, count } };
}

const claimRequest = ({ mib, percent }: { mib: number; percent: number }) => ({
  pool: 'default',
  vgpus: 1,
  memoryBytes: mib * 1024 ** 2,
  computePercent: percent,
  distinct: true,
  models: [],
  minMemoryBytes: 0,
});
