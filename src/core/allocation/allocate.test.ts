import { describe, expect, test } from '@jest/globals';
import { allocate } from './allocate.ts';
import { explain } from './explain.ts';
import type { Request } from './fit.ts';
import { snapshotOf, type Allocation, type GpuFacts, type NodeFacts, type PoolFacts } from './snapshot.ts';

const GI = 1024 ** 3;

const gpu = (uuid: string, more: Partial<GpuFacts> = {}): GpuFacts => ({
  uuid,
  model: 'Tesla T4',
  memoryBytes: 16 * GI,
  healthy: true,
  ...more,
});
const node = (name: string, gpus: readonly GpuFacts[], more: Partial<NodeFacts> = {}): NodeFacts => ({
  name,
  labels: {},
  ready: true,
  gpus,
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
const request = (more: Partial<Request> = {}): Request => ({
  pool: 'default',
  vgpus: 1,
  memoryBytes: 4 * GI,
  computePercent: 10,
  distinct: true,
  models: [],
  minMemoryBytes: 0,
  ...more,
});
const taken = (nodeName: string, uuid: string, gib: number, computePercent = 10): Allocation => ({
  vgpu: 0,
  node: nodeName,
  gpu: uuid,
  memoryBytes: gib * GI,
  computePercent,
});

interface World {
  readonly nodes?: readonly NodeFacts[];
  readonly pool?: PoolFacts;
  readonly taken?: readonly Allocation[];
}
const twoNodes = [node('n1', [gpu('a'), gpu('b')]), node('n2', [gpu('c'), gpu('d')])];
const snapshot = (world: World) => snapshotOf(world.nodes ?? twoNodes, [world.pool ?? pool()], world.taken ?? []);

describe('allocate places', () => {
  const cases: [string, World, Request, string[]][] = [
    ['one vGPU on the first GPU when all are empty', {}, request(), ['n1/a']],
    [
      'by Pack, on the fullest GPU that fits',
      { taken: [taken('n2', 'c', 8), taken('n1', 'b', 2)] },
      request(),
      ['n2/c'],
    ],
    [
      'by Pack, not on a GPU that is too full',
      { taken: [taken('n2', 'c', 13), taken('n1', 'b', 2)] },
      request(),
      ['n1/b'],
    ],
    [
      'by Spread, on the emptiest GPU',
      { pool: pool({ placement: 'Spread' }), taken: [taken('n1', 'a', 1), taken('n1', 'b', 1), taken('n2', 'c', 1)] },
      request(),
      ['n2/d'],
    ],
    [
      'by free compute where free memory is equal',
      { taken: [taken('n1', 'a', 2, 10), taken('n2', 'd', 2, 50)] },
      request(),
      ['n2/d'],
    ],
    [
      'several vGPUs on distinct GPUs of one node',
      { taken: [taken('n1', 'a', 13)] },
      request({ vgpus: 2 }),
      ['n2/c', 'n2/d'],
    ],
    [
      'several vGPUs on one GPU when they may share',
      {},
      request({ vgpus: 3, distinct: false }),
      ['n1/a', 'n1/a', 'n1/a'],
    ],
    [
      'shared vGPUs on a second GPU of the node when one is not enough',
      {},
      request({ vgpus: 5, distinct: false }),
      ['n1/a', 'n1/a', 'n1/a', 'n1/a', 'n1/b'],
    ],
    [
      'beyond the compute of a GPU where the pool promises more than all of it',
      { nodes: [node('n1', [gpu('a')])], pool: pool({ computePercent: 200 }), taken: [taken('n1', 'a', 1, 100)] },
      request({ computePercent: 100 }),
      ['n1/a'],
    ],
    [
      'only on nodes with the labels of the pool',
      {
        nodes: [node('n1', [gpu('a')]), node('n2', [gpu('b')], { labels: { zone: 'x', rack: '1' } })],
        pool: pool({ matchLabels: { zone: 'x' } }),
      },
      request(),
      ['n2/b'],
    ],
    [
      'only on healthy GPUs of nodes that answer',
      { nodes: [node('n1', [gpu('a')], { ready: false }), node('n2', [gpu('b', { healthy: false }), gpu('c')])] },
      request(),
      ['n2/c'],
    ],
    [
      'on a model that begins with a selected name',
      { nodes: [node('n1', [gpu('a'), gpu('b', { model: 'NVIDIA H100 80GB' })])] },
      request({ models: ['NVIDIA H100', 'NVIDIA A100'] }),
      ['n1/b'],
    ],
    [
      'on a GPU with the least memory that was asked for',
      { nodes: [node('n1', [gpu('a'), gpu('b', { memoryBytes: 24 * GI })])] },
      request({ minMemoryBytes: 20 * GI }),
      ['n1/b'],
    ],
  ];
  test.each(cases)('%s', (_sentence, world, wanted, want) => {
    const result = allocate(snapshot(world), wanted);
    expect(result.ok && result.value.map((a) => `${a.node}/${a.gpu}`)).toEqual(want);
    expect(result.ok && result.value.map((a) => a.vgpu)).toEqual(want.map((_, i) => i));
  });
});

describe('allocate refuses and says, with what would help', () => {
  const cases: [string, string, World, Request][] = [
    ['PoolNotFound', 'pool other does not exist: create it, or name another: default', {}, request({ pool: 'other' })],
    [
      'NoGPUs',
      'pool default has no GPUs: no node that its nodeSelector selects shows one',
      { pool: pool({ matchLabels: { no: 'such' } }) },
      request(),
    ],
    [
      'NoMatchingModel',
      'no GPU matches model H100; there are A10, Tesla T4',
      { nodes: [node('n1', [gpu('a'), gpu('b', { model: 'A10' })])] },
      request({ models: ['H100'] }),
    ],
    [
      'NoMatchingMemory',
      'needs 40Gi on one GPU; the largest has 16Gi, a of n1: ask for a smaller gpuSelector.minMemory',
      {},
      request({ minMemoryBytes: 40 * GI }),
    ],
    [
      'NoHealthyGPUs',
      'none of the 2 GPUs that would do is healthy and on a node that answers: their GPUNodes say why',
      { nodes: [node('n1', [gpu('a')], { ready: false }), node('n2', [gpu('b', { healthy: false })])] },
      request(),
    ],
    [
      'GPUTooSmall',
      'needs 20Gi on one GPU; the largest has 16Gi, a of n1: ask for at most 16Gi',
      {},
      request({ memoryBytes: 20 * GI }),
    ],
    [
      'GPUTooSmall',
      'needs 10Gi on one GPU; the largest has 8Gi, a of n1: ask for at most 8Gi',
      { pool: pool({ memoryPercent: 50 }) },
      request({ memoryBytes: 10 * GI }),
    ],
    [
      'InsufficientMemory',
      'needs 8Gi on one GPU; the most free is 6Gi, on b of n1: delete a claim that is not needed, or ask for less',
      { nodes: [node('n1', [gpu('a'), gpu('b')])], taken: [taken('n1', 'a', 12), taken('n1', 'b', 10)] },
      request({ memoryBytes: 8 * GI }),
    ],
    [
      'InsufficientMemory',
      'needs 8Gi on one GPU; the most free is 7.99Gi, on a of n1: delete a claim that is not needed, or ask for less',
      { nodes: [node('n1', [gpu('a')])], taken: [{ ...taken('n1', 'a', 8), memoryBytes: 8 * GI + 1 }] },
      request({ memoryBytes: 8 * GI }),
    ],
    [
      'InsufficientCompute',
      "needs 30 % of one GPU's compute; the most free is 20 %, on a of n1: delete a claim that is not needed, or ask for less",
      { nodes: [node('n1', [gpu('a')])], taken: [taken('n1', 'a', 1, 80)] },
      request({ computePercent: 30 }),
    ],
    [
      'InsufficientShare',
      'needs 8Gi and 50 % of one GPU; free are 15Gi and 10 % on a of n1, 4Gi and 90 % on b of n1: delete a claim that is not needed, or ask for less',
      { nodes: [node('n1', [gpu('a'), gpu('b')])], taken: [taken('n1', 'a', 1, 90), taken('n1', 'b', 12, 10)] },
      request({ memoryBytes: 8 * GI, computePercent: 50 }),
    ],
    [
      'NotEnoughOnOneNode',
      'needs 3 distinct GPUs with room on one node; the most on one node is 2, on n1: ask for fewer, or for vgpuPlacement Shared',
      {},
      request({ vgpus: 3 }),
    ],
    [
      'NotEnoughOnOneNode',
      'needs room for 9 vGPUs on one node; the most on one node is 8, on n1: ask for fewer or smaller ones',
      {},
      request({ vgpus: 9, distinct: false }),
    ],
  ];
  test.each(cases)('%s: %s', (reason, sentence, world, wanted) => {
    const result = allocate(snapshot(world), wanted);
    if (result.ok) throw new Error('was not refused');
    expect(result.error.reason).toBe(reason);
    expect(explain(result.error)).toBe(sentence);
  });
});
