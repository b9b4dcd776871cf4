import { concerns, fits, freeBytes, freePercent, matches, matchesModel, type Request } from './fit.ts';
import type { Refusal } from './refusal.ts';
import { memoryLimit, type GpuEntry, type NodeEntry, type PoolEntry, type Snapshot } from './snapshot.ts';

/** Why a request that found no place found none: the first obstacle, in the order in which a user would remove them. */
export function refusalOf(snapshot: Snapshot, pool: PoolEntry, request: Request): Refusal {
  const nodes = pool.nodes.flatMap((n) => snapshot.nodes[n] ?? []);
  const gpusOf = (some: readonly NodeEntry[]): GpuEntry[] =>
    some.flatMap(({ gpus }) => gpus.filter((gpu) => concerns(pool, gpu, request)));
  const all = gpusOf(nodes);
  const obstacle = mismatch(pool, all, request);
  if (obstacle !== undefined) return obstacle;
  const usable = gpusOf(nodes.filter((node) => node.ready)).filter((gpu) => gpu.healthy);
  const candidates = usable.filter((gpu) => matches(gpu, request));
  if (candidates.length > 0) return shortage(pool, candidates, request);
  return { reason: 'NoHealthyGPUs', gpus: all.filter((gpu) => matches(gpu, request)).length };
}

/** Nothing in the pool would do, however empty it were. */
function mismatch(pool: PoolEntry, all: readonly GpuEntry[], request: Request): Refusal | undefined {
  const { slices, memoryBytes: neededBytes } = request;
  if (all.length === 0 && slices !== undefined) return { reason: 'NoSuchSlices', ...slices, neededBytes };
  if (all.length === 0) return { reason: 'NoGPUs', pool: pool.name };
  const ofModel = all.filter((gpu) => matchesModel(gpu, request));
  if (ofModel.length === 0) {
    const models = [...new Set(all.map((gpu) => gpu.model))].toSorted();
    return { reason: 'NoMatchingModel', wanted: request.models, models };
  }
  const largest = first(ofModel, (gpu) => gpu.memoryBytes);
  const { node, uuid: gpu, memoryBytes: largestBytes } = largest;
  if (largestBytes < request.minMemoryBytes) {
    return { reason: 'NoMatchingMemory', neededBytes: request.minMemoryBytes, largestBytes, node, gpu };
  }
  if (memoryLimit(pool, largest) < request.memoryBytes) {
    const limit = memoryLimit(pool, largest);
    return { reason: 'GPUTooSmall', neededBytes: request.memoryBytes, largestBytes: limit, node, gpu };
  }
  return undefined;
}

/** GPUs would do, but not now. */
function shortage(pool: PoolEntry, usable: readonly GpuEntry[], request: Request): Refusal {
  const { memoryBytes: neededBytes, computePercent: neededPercent } = request;
  const mostMemory = freeAt(
    pool,
    first(usable, (gpu) => freeBytes(pool, gpu)),
  );
  const mostCompute = freeAt(
    pool,
    first(usable, (gpu) => freePercent(pool, gpu)),
  );
  if (mostMemory.freeBytes < neededBytes) {
    const { node, gpu, freeBytes } = mostMemory;
    return { reason: 'InsufficientMemory', neededBytes, freeBytes, node, gpu };
  }
  if (mostCompute.freePercent < neededPercent) {
    const { node, gpu, freePercent } = mostCompute;
    return { reason: 'InsufficientCompute', neededPercent, freePercent, node, gpu };
  }
  const fitting = usable.filter((gpu) => fits(pool, gpu, request));
  if (fitting.length === 0) return { reason: 'InsufficientShare', neededBytes, neededPercent, mostMemory, mostCompute };
  return crowded(pool, fitting, request);
}

function crowded(pool: PoolEntry, fitting: readonly GpuEntry[], request: Request): Refusal {
  const places = new Map<string, number>();
  for (const gpu of fitting) places.set(gpu.node, (places.get(gpu.node) ?? 0) + room(pool, gpu, request));
  const [node, count] = first([...places], ([, n]) => n);
  return { reason: 'NotEnoughOnOneNode', vgpus: request.vgpus, distinct: request.distinct, most: count, node };
}

/** How many vGPUs of the request one GPU could take. */
function room(pool: PoolEntry, gpu: GpuEntry, { distinct, memoryBytes, computePercent }: Request): number {
  if (distinct) return 1;
  return Math.floor(Math.min(freeBytes(pool, gpu) / memoryBytes, freePercent(pool, gpu) / computePercent));
}

function freeAt(pool: PoolEntry, gpu: GpuEntry) {
  const [bytes, percent] = [freeBytes(pool, gpu), freePercent(pool, gpu)];
  return { node: gpu.node, gpu: gpu.uuid, freeBytes: Math.max(0, bytes), freePercent: Math.max(0, percent) };
}

/** The first item with the highest value; there is at least one item. */
function first<T>(items: readonly T[], value: (item: T) => number): T {
  let best = items[0] as T;
  let highest = value(best);
  for (const item of items) {
    const candidate = value(item);
    if (candidate > highest) [best, highest] = [item, candidate];
  }
  return best;
}
