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
}

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
  gpu.healthy && fits(pool, gpu, request) && matches(gpu, request);
