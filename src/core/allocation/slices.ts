import { DEFAULT_POOL } from '../../api/pod.ts';
import { minVgpuMemoryBytes } from '../../api/rules.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import { compare } from './allocate.ts';
import { refusalOf } from './diagnose.ts';
import { freePercent, sliceBytes, slicePercent, suits, type Request } from './fit.ts';
import type { Refusal } from './refusal.ts';
import { nodeAt, type GpuEntry, type NodeEntry, type PoolEntry, type Snapshot } from './snapshot.ts';

/** What kubelet may be told of a node's slices: how many its GPUs make, and how many of them cannot be had any more. */
export interface SliceSupply {
  readonly capacity: number;
  readonly withdrawn: number;
}

const NO_SLICES: SliceSupply = { capacity: 0, withdrawn: 0 };

/**
 * The slices of a node. What kubelet has counted as slices itself it must not lose by rounding, nor by a GPU that is ill:
 * on each GPU those can be had that claims have as slices, and the whole ones that would still fit beside all claims.
 */
export function sliceSupply(snapshot: Snapshot, name: string): SliceSupply {
  const n = snapshot.nodes.findIndex((node) => node.name === name);
  const [node, pool] = [snapshot.nodes[n], slicePoolOf(snapshot, n)];
  if (node === undefined || pool === undefined) return NO_SLICES;
  // Of the two oversubscriptions that of memory is the smaller: it is at most 100, that of compute at least.
  const each = Math.floor((pool.slicesPerGpu * Math.min(pool.memoryPercent, pool.computePercent)) / 100);
  const withdrawn = node.gpus.map((gpu) => each - Math.min(each, gpu.promisedSlices + slicesLeft(pool, node, gpu)));
  return { capacity: each * node.gpus.length, withdrawn: withdrawn.reduce((sum, count) => sum + count, 0) };
}

/** How many slices of the node claims have. */
export const slicesServed = (snapshot: Snapshot, name: string): number =>
  (nodeAt(snapshot, name)?.gpus ?? []).reduce((sum, gpu) => sum + gpu.promisedSlices, 0);

/** Whole slices that may still be promised of a GPU. */
function slicesLeft(pool: PoolEntry, node: NodeEntry, gpu: GpuEntry): number {
  if (!node.ready || !gpu.healthy) return 0;
  // In one division: a limit that was rounded to bytes would cost a whole slice.
  const hundredths = gpu.memoryBytes * pool.memoryPercent - 100 * gpu.promisedBytes;
  const ofMemory = (hundredths * pool.slicesPerGpu) / (100 * gpu.memoryBytes);
  const ofCompute = (freePercent(pool, gpu) * pool.slicesPerGpu) / 100;
  return Math.max(0, Math.floor(Math.min(ofMemory, ofCompute)));
}

/** Kubelet counts slices of one size: of several pools with the same node those of `default`, else of the first by name. */
function slicePoolOf({ pools }: Snapshot, n: number): PoolEntry | undefined {
  const own = [...pools.values()].filter(({ nodes }) => nodes.includes(n));
  const rank = ({ name }: PoolEntry): string => (name === DEFAULT_POOL ? '' : name);
  return own.toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1))[0];
}

export interface SliceWish {
  readonly pool: string;
  readonly count: number;
  /** Whether the node may be taken. */
  readonly allows: (node: string) => boolean;
}

/** So much of a GPU of one node. */
export interface SliceShare {
  readonly node: string;
  readonly memoryBytes: number;
  readonly computePercent: number;
}

/** The node that can serve so many slices of one GPU now, and how much they are there. */
export function placeSlices(snapshot: Snapshot, wish: SliceWish): Result<SliceShare, Refusal> {
  const pool = snapshot.pools.get(wish.pool);
  if (pool === undefined) {
    return err({ reason: 'PoolNotFound', pool: wish.pool, pools: [...snapshot.pools.keys()].toSorted() });
  }
  const { slicesPerGpu } = pool;
  if (wish.count > slicesPerGpu) return err({ reason: 'TooManySlices', count: wish.count, slicesPerGpu });
  const counted = pool.nodes.filter((n) => slicePoolOf(snapshot, n) === pool);
  const nodes = counted.filter((n) => wish.allows(snapshot.nodes[n]?.name ?? ''));
  const allowed = { ...pool, nodes };
  return bestShare(snapshot, allowed, wish.count) ?? err(refuse(snapshot, { pool, allowed, counted }, wish.count));
}

function bestShare(snapshot: Snapshot, pool: PoolEntry, count: number): Result<SliceShare, never> | undefined {
  let best: GpuEntry | undefined;
  for (const gpu of gpusOf(snapshot, pool.nodes, ({ ready }) => ready)) {
    const request = requestFor(pool, gpu, count);
    if (request.memoryBytes < minVgpuMemoryBytes || !suits(pool, gpu, request)) continue;
    if (best === undefined || compare(pool, gpu, best) < 0) best = gpu;
  }
  if (best === undefined) return undefined;
  const { memoryBytes, computePercent } = requestFor(pool, best, count);
  return ok({ node: best.node, memoryBytes, computePercent });
}

interface Pools {
  readonly pool: PoolEntry;
  /** The pool with the nodes that may be taken. */
  readonly allowed: PoolEntry;
  /** Positions of the nodes where kubelet counts slices of this pool. */
  readonly counted: readonly number[];
}

function refuse(snapshot: Snapshot, { pool, allowed, counted }: Pools, count: number): Refusal {
  const [first, ...others] = gpusOf(snapshot, allowed.nodes);
  if (first === undefined) {
    const nodes = [...new Set(gpusOf(snapshot, counted).map(({ node }) => node))];
    if (nodes.length > 0) return { reason: 'NoNodeAllowed', pool: pool.name, nodes };
    const isEmpty = gpusOf(snapshot, pool.nodes).length === 0;
    return { reason: isEmpty ? 'NoGPUs' : 'NoSlices', pool: pool.name };
  }
  const largest = others.reduce((most, gpu) => (gpu.memoryBytes > most.memoryBytes ? gpu : most), first);
  const request = requestFor(pool, largest, count);
  if (request.memoryBytes >= minVgpuMemoryBytes) return refusalOf(snapshot, allowed, request);
  const neededCount = Math.ceil((minVgpuMemoryBytes * pool.slicesPerGpu) / largest.memoryBytes);
  return { reason: 'SlicesTooSmall', count, neededCount };
}

const gpusOf = (
  { nodes }: Snapshot,
  positions: readonly number[],
  matches: (node: NodeEntry) => boolean = () => true,
): readonly GpuEntry[] =>
  positions.flatMap((n) => {
    const node = nodes[n];
    return node !== undefined && matches(node) ? node.gpus : [];
  });

const requestFor = (pool: PoolEntry, gpu: GpuEntry, count: number): Request => ({
  pool: pool.name,
  vgpus: 1,
  memoryBytes: sliceBytes(pool, gpu, count),
  computePercent: slicePercent(pool, count),
  distinct: true,
  models: [],
  minMemoryBytes: 0,
});
