import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { allocate } from './allocate.ts';
import type { Request } from './fit.ts';
import { gpuAt, memoryLimit, promise, release, snapshotOf, type Allocation, type NodeFacts } from './snapshot.ts';

const GI = 1024 ** 3;

const gpus = fc.uniqueArray(
  fc.record({
    uuid: fc.integer({ min: 0, max: 30 }).map((n) => `GPU-${n}`),
    model: fc.constantFrom('A10', 'A100', 'T4'),
    memoryBytes: fc.integer({ min: 1, max: 24 }).map((n) => n * GI),
    healthy: fc.boolean(),
  }),
  { maxLength: 5, selector: (gpu) => gpu.uuid },
);
const nodes = fc.uniqueArray(
  fc.record({
    name: fc.integer({ min: 0, max: 20 }).map((n) => `node-${n}`),
    labels: fc.constantFrom<Record<string, string>>({}, { zone: 'x' }),
    ready: fc.boolean(),
    gpus,
  }),
  { maxLength: 5, selector: (node) => node.name },
);
const pools = fc
  .record({
    placement: fc.constantFrom('Pack' as const, 'Spread' as const),
    memoryPercent: fc.integer({ min: 1, max: 100 }),
    computePercent: fc.integer({ min: 100, max: 300 }),
    slicesPerGpu: fc.constant(100),
    matchLabels: fc.constantFrom<Record<string, string>>({}, { zone: 'x' }),
  })
  .map((pool) => [{ name: 'p', ...pool }]);
const request = fc.record({
  pool: fc.constant('p'),
  vgpus: fc.integer({ min: 1, max: 4 }),
  memoryBytes: fc.integer({ min: 1, max: 8 * GI }),
  computePercent: fc.integer({ min: 1, max: 100 }),
  distinct: fc.boolean(),
  models: fc.constantFrom<readonly string[]>([], ['A10'], ['T4', 'A100']),
  minMemoryBytes: fc.constantFrom(0, 8 * GI),
});
const requests = fc.array(request, { maxLength: 40 });

type World = [NodeFacts[], Parameters<typeof snapshotOf>[1], Request[]];
const world: fc.Arbitrary<World> = fc.tuple(nodes, pools, requests);

/** Serves requests one after the other until they are all placed or refused. */
function serve([facts, policy, wanted]: World) {
  const placed: (readonly Allocation[])[] = [];
  const snapshot = wanted.reduce(
    (now, next) => {
      const result = allocate(now, next);
      if (!result.ok) return now;
      placed.push(result.value);
      return promise(now, result.value);
    },
    snapshotOf(facts, policy, []),
  );
  return { snapshot, placed };
}

test('allocate never promises more than the pool allows of a GPU, and only on healthy GPUs of nodes that answer', () => {
  fc.assert(
    fc.property(world, (input) => {
      const { snapshot, placed } = serve(input);
      const pool = snapshot.pools.get('p')!;
      for (const node of snapshot.nodes) {
        for (const gpu of node.gpus) {
          const mine = placed.flat().filter((a) => a.node === node.name && a.gpu === gpu.uuid);
          const bytes = mine.reduce((sum, a) => sum + a.memoryBytes, 0);
          expect(bytes).toBe(gpu.promisedBytes);
          expect(bytes).toBeLessThanOrEqual(memoryLimit(pool, gpu));
          expect(mine.reduce((sum, a) => sum + a.computePercent, 0)).toBeLessThanOrEqual(pool.computePercent);
          if (mine.length > 0) expect(node.ready && gpu.healthy).toBe(true);
        }
      }
    }),
  );
});

test('allocate puts all vGPUs of a request on one node, and distinct ones on a GPU each', () => {
  fc.assert(
    fc.property(world, request, (input, wanted) => {
      const result = allocate(serve(input).snapshot, wanted);
      if (!result.ok) return;
      expect(result.value).toHaveLength(wanted.vgpus);
      expect(new Set(result.value.map((a) => a.node)).size).toBe(1);
      if (wanted.distinct) expect(new Set(result.value.map((a) => a.gpu)).size).toBe(wanted.vgpus);
    }),
  );
});

test('equal snapshots give equal answers, in whatever order nodes, GPUs and promises were told', () => {
  fc.assert(
    fc.property(world, request, ([facts, policy, wanted], next) => {
      const { snapshot, placed } = serve([facts, policy, wanted]);
      const turned = facts.toReversed().map((node) => ({ ...node, gpus: node.gpus.toReversed() }));
      const rebuilt = snapshotOf(turned, policy, placed.flat().toReversed());
      expect(rebuilt).toEqual(snapshot);
      expect(allocate(rebuilt, next)).toEqual(allocate(snapshot, next));
    }),
  );
});

test('release after promise restores the snapshot, and neither changes the one it was given', () => {
  fc.assert(
    fc.property(world, request, (input, wanted) => {
      const { snapshot } = serve(input);
      const before = structuredClone(snapshot);
      const result = allocate(snapshot, wanted);
      if (!result.ok) return;
      const promised = promise(snapshot, result.value);
      expect(promised).not.toEqual(before);
      expect(release(promised, result.value)).toEqual(before);
      expect(snapshot).toEqual(before);
    }),
  );
});

test('a request is refused only if no node could take it', () => {
  fc.assert(
    fc.property(world, request, (input, wanted) => {
      const { snapshot } = serve(input);
      if (allocate(snapshot, wanted).ok) return;
      const pool = snapshot.pools.get('p')!;
      for (const n of pool.nodes) {
        const node = snapshot.nodes[n]!;
        const room = node.gpus.map((gpu) => {
          const entry = gpuAt(snapshot, node.name, gpu.uuid)!;
          const suits =
            node.ready &&
            entry.healthy &&
            entry.memoryBytes >= wanted.minMemoryBytes &&
            (wanted.models.length === 0 || wanted.models.some((model) => entry.model.startsWith(model)));
          const byMemory = (memoryLimit(pool, entry) - entry.promisedBytes) / wanted.memoryBytes;
          const byCompute = (pool.computePercent - entry.promisedPercent) / wanted.computePercent;
          const fit = suits ? Math.max(0, Math.floor(Math.min(byMemory, byCompute))) : 0;
          return wanted.distinct ? Math.min(1, fit) : fit;
        });
        expect(room.reduce((sum, fit) => sum + fit, 0)).toBeLessThan(wanted.vgpus);
      }
    }),
  );
});
