import { allocate } from '../src/core/allocation/allocate.ts';
import type { Request } from '../src/core/allocation/fit.ts';
import { promise, release, snapshotOf, type Allocation, type NodeFacts } from '../src/core/allocation/snapshot.ts';
import { percentile, type BenchResult } from './result.ts';

const GI = 1024 ** 3;
const NODES = 125;
const GPUS_PER_NODE = 8;
const CLAIMS = 10_000;
const DECISIONS = 20_000;
const REFUSALS = 5000;
const REFERENCE_DECISIONS = 40; // Each takes milliseconds.
const WARM_UP = 2000;

const nodes: readonly NodeFacts[] = Array.from({ length: NODES }, (_, n) => ({
  name: `node-${String(n).padStart(3, '0')}`,
  labels: {},
  ready: true,
  gpus: Array.from({ length: GPUS_PER_NODE }, (_unused, g) => ({
    uuid: `GPU-${String(n * GPUS_PER_NODE + g).padStart(8, '0')}`,
    model: g % 2 === 0 ? 'NVIDIA H100 80GB HBM3' : 'NVIDIA A100-SXM4-80GB',
    memoryBytes: 80 * GI,
    healthy: true,
  })),
}));
const pool = {
  name: 'p',
  matchLabels: {},
  placement: 'Pack',
  memoryPercent: 100,
  computePercent: 200,
  slicesPerGpu: 100,
} as const;

/** The i-th request: mostly one vGPU, of sizes that leave every GPU partly used; some pick a model, some want several. */
function request(i: number): Request {
  return {
    pool: 'p',
    vgpus: i % 10 === 9 ? 2 : 1,
    memoryBytes: (1 + ((i * 7) % 11)) * GI,
    computePercent: 5 + ((i * 3) % 16),
    distinct: i % 20 !== 19,
    models: i % 5 === 0 ? ['NVIDIA H100'] : [],
    minMemoryBytes: 0,
  };
}

/** The least that a decision costs without an account: sum up all claims, then look for the fullest GPU that fits. */
function decideFromScratch(claims: readonly (readonly Allocation[])[], wanted: Request): string | undefined {
  const promised = new Map<string, number>();
  for (const allocations of claims) {
    for (const a of allocations) promised.set(a.gpu, (promised.get(a.gpu) ?? 0) + a.memoryBytes);
  }
  let best: string | undefined;
  let least = Infinity;
  for (const { gpus } of nodes) {
    for (const { uuid, memoryBytes } of gpus) {
      const free = memoryBytes - (promised.get(uuid) ?? 0);
      if (free >= wanted.memoryBytes && free < least) [best, least] = [uuid, free];
    }
  }
  return best;
}

/** 1,000 GPUs that 10,000 claims have shares of. One step gives the oldest claim back, decides and promises anew. */
function fullCluster() {
  let snapshot = snapshotOf(nodes, [pool], []);
  const claims: (readonly Allocation[])[] = [];
  let next = 0;
  let oldest = 0;
  const decide = (): void => {
    const result = allocate(snapshot, request(next++));
    if (!result.ok) throw new Error(`claim ${next} was refused (${result.error.reason}): not the case to be measured`);
    snapshot = promise(snapshot, result.value);
    claims.push(result.value);
  };
  while (claims.length < CLAIMS) decide();
  return {
    step(): void {
      snapshot = release(snapshot, claims[oldest++] ?? []);
      decide();
    },
    refuse(): void {
      const result = allocate(snapshot, { ...request(0), vgpus: GPUS_PER_NODE + 1 });
      if (result.ok) throw new Error('was not refused: not the case to be measured');
    },
    claims: () => claims.slice(-CLAIMS),
  };
}

/** Nanoseconds of each run, after a warm-up. */
function time(runs: number, warmUp: number, run: (i: number) => void): number[] {
  for (let i = 0; i < warmUp; i++) run(i);
  return Array.from({ length: runs }, (_, i) => {
    const from = process.hrtime.bigint();
    run(i);
    return Number(process.hrtime.bigint() - from);
  });
}

const rate = (samples: readonly number[]): number => (samples.length / samples.reduce((sum, ns) => sum + ns, 0)) * 1e9;

export async function measure(): Promise<readonly BenchResult[]> {
  const cluster = fullCluster();
  const claims = cluster.claims();
  const decisions = time(DECISIONS, WARM_UP, () => cluster.step());
  const refusals = time(REFUSALS, WARM_UP, () => cluster.refuse());
  const scratch = time(REFERENCE_DECISIONS, 2, (i) => decideFromScratch(claims, request(i)));
  const result = (name: string, samples: readonly number[]): BenchResult => ({
    name,
    unit: 'ns',
    p50: percentile(samples, 50),
    p99: percentile(samples, 99),
    value: rate(samples),
    samples: samples.length,
    reference: 'a decision made by summing up all 10,000 claims each time',
    ratio: percentile(samples, 50) / percentile(scratch, 50),
  });
  return [result('decide-1k-gpus-10k-claims', decisions), result('refuse-1k-gpus-10k-claims', refusals)];
}
