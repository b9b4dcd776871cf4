import { memoryLimit, type GpuEntry, type GpuFacts, type PoolFacts } from './snapshot.ts';

/** What a claim asks for. */
export interface Request {
  readonly pool: string;
  readonly vgpus: number;
  /** Of each vGPU. */
  readonly memoryBytes: number;
  readonly computePercent: number;
  /** Each vGPU on a GPU of its own. */
  readonly distinct: boolean;
  /** A GPU will do if its model is one of these or begins with one; none: any model will do. */
  readonly models: readonly string[];
  /** The least physical memory of a GPU that will do. */
  readonly minMemoryBytes: number;
  /** The node whose kubelet counts the claim as so many slices: no other node will do. */
  readonly slices?: { readonly node: string; readonly count: number } | undefined;
}

/** So many slices of the GPU's memory, rounded down, so that all slices of it fit. */
export const sliceBytes = (pool: PoolFacts, gpu: GpuFacts, count: number): number =>
  Math.floor((gpu.memoryBytes * count) / pool.slicesPerGpu);

export const slicePercent = (pool: PoolFacts, count: number): number =>
  Math.max(1, Math.floor((100 * count) / pool.slicesPerGpu));

/** Whether the request is about GPUs like this one: slices are of their own node, and of GPUs that make slices of that size. */
export const concerns = (pool: PoolFacts, gpu: GpuEntry, { slices, memoryBytes, computePercent }: Request): boolean =>
  slices === undefined ||
  (slices.node === gpu.node &&
    sliceBytes(pool, gpu, slices.count) === memoryBytes &&
    slicePercent(pool, slices.count) === computePercent);

/** What may still be promised of a GPU's memory; negative where more is promised than the pool allows today. */
export const freeBytes = (pool: PoolFacts, gpu: GpuEntry): number => memoryLimit(pool, gpu) - gpu.promisedBytes;

export const freePercent = (pool: PoolFacts, gpu: GpuEntry): number => pool.computePercent - gpu.promisedPercent;

/** Whether one vGPU of the request fits on the GPU now. */
export const fits = (pool: PoolFacts, gpu: GpuEntry, request: Request): boolean =>
  freeBytes(pool, gpu) >= request.memoryBytes && freePercent(pool, gpu) >= request.computePercent;

export const matchesModel = (gpu: GpuFacts, { models }: Request): boolean =>
  models.length === 0 || models.some((model) => gpu.model.startsWith(model));

export const matches = (gpu: GpuFacts, request: Request): boolean =>
  gpu.memoryBytes >= request.minMemoryBytes && matchesModel(gpu, request);

/** Whether one vGPU of the request may be placed on the GPU now, if its node is ready. */
export const suits = (pool: PoolFacts, gpu: GpuEntry, request: Request): boolean =>
  gpu.healthy && fits(pool, gpu, request) && matches(gpu, request) && concerns(pool, gpu, request);
