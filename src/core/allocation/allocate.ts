import { err, ok, type Result } from '../../lib/result.ts';
import { refusalOf } from './diagnose.ts';
import { freeBytes, freePercent, suits, type Request } from './fit.ts';
import type { Refusal } from './refusal.ts';
import type { Allocation, GpuEntry, NodeEntry, PoolEntry, Snapshot } from './snapshot.ts';

/**
 * Places the vGPUs of a request, all of them on one node. `Pack` takes the fullest GPU that still fits, so that whole
 * GPUs stay free for large requests; `Spread` takes the emptiest. Equal snapshots give equal answers: ties go to the
 * first node by name, then to the first GPU by UUID.
 */
export function allocate(snapshot: Snapshot, request: Request): Result<readonly Allocation[], Refusal> {
  const pool = snapshot.pools.get(request.pool);
  if (pool === undefined) {
    return err({ reason: 'PoolNotFound', pool: request.pool, pools: [...snapshot.pools.keys()].toSorted() });
  }
  const picks = request.vgpus === 1 ? pickOne(snapshot, pool, request) : pickNode(snapshot, pool, request);
  if (picks === undefined) return err(refusalOf(snapshot, pool, request));
  const { memoryBytes, computePercent, slices } = request;
  const share = { memoryBytes, computePercent, ...(slices === undefined ? {} : { slices: slices.count }) };
  return ok(picks.map(({ node, uuid }, vgpu) => ({ vgpu, node, gpu: uuid, ...share })));
}

/** The usual request is for one vGPU: one look at each GPU, and nothing is made on the way. */
function pickOne(snapshot: Snapshot, pool: PoolEntry, request: Request): readonly GpuEntry[] | undefined {
  let best: GpuEntry | undefined;
  for (const n of pool.nodes) {
    const node = snapshot.nodes[n];
    if (node === undefined || !node.ready) continue;
    for (const gpu of node.gpus) {
      if (suits(pool, gpu, request) && (best === undefined || compare(pool, gpu, best) < 0)) best = gpu;
    }
  }
  return best === undefined ? undefined : [best];
}

/** Less than 0: `a` comes before `b`. What decides is free memory, then free compute. */
export function compare(pool: PoolEntry, a: GpuEntry, b: GpuEntry): number {
  const difference = freeBytes(pool, a) - freeBytes(pool, b) || freePercent(pool, a) - freePercent(pool, b);
  return pool.placement === 'Pack' ? difference : -difference;
}

function pickNode(snapshot: Snapshot, pool: PoolEntry, request: Request): readonly GpuEntry[] | undefined {
  const sign = pool.placement === 'Pack' ? 1 : -1;
  let best: readonly GpuEntry[] | undefined;
  let bestScore = Infinity;
  for (const n of pool.nodes) {
    const node = snapshot.nodes[n];
    const picks = node === undefined ? undefined : pickOn(node, pool, request);
    if (picks === undefined) continue;
    const score = sign * picks.reduce((sum, gpu) => sum + freeBytes(pool, gpu), 0);
    if (score < bestScore) [best, bestScore] = [picks, score];
  }
  return best;
}

/** The GPUs of one node for all vGPUs, in the order of preference; undefined if they do not fit. */
function pickOn(node: NodeEntry, pool: PoolEntry, request: Request): readonly GpuEntry[] | undefined {
  if (!node.ready) return undefined;
  const suitable = node.gpus.filter((gpu) => suits(pool, gpu, request));
  if (!request.distinct) return pickShared(suitable, pool, request);
  if (suitable.length < request.vgpus) return undefined;
  return suitable.toSorted((a, b) => compare(pool, a, b)).slice(0, request.vgpus);
}

/** One GPU after the other, each time with the earlier vGPUs counted in. */
function pickShared(suitable: GpuEntry[], pool: PoolEntry, request: Request): readonly GpuEntry[] | undefined {
  const picks: GpuEntry[] = [];
  let candidates = suitable;
  while (picks.length < request.vgpus) {
    const [first, ...others] = candidates;
    if (first === undefined) return undefined;
    const best = others.reduce((found, gpu) => (compare(pool, gpu, found) < 0 ? gpu : found), first);
    picks.push(best);
    const fuller = withOneMore(best, request);
    candidates = candidates.flatMap((gpu) => (gpu !== best ? gpu : suits(pool, fuller, request) ? fuller : []));
  }
  return picks;
}

const withOneMore = (gpu: GpuEntry, { memoryBytes, computePercent }: Request): GpuEntry => ({
  ...gpu,
  promisedBytes: gpu.promisedBytes + memoryBytes,
  promisedPercent: gpu.promisedPercent + computePercent,
});
