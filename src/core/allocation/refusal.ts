/** A GPU that a refusal speaks of. */
interface Where {
  readonly node: string;
  readonly gpu: string;
}

/** Why a request has to wait, with the numbers that its author needs. The reason is also that of condition and event. */
export type Refusal =
  | { readonly reason: 'PoolNotFound'; readonly pool: string; readonly pools: readonly string[] }
  | { readonly reason: 'NoGPUs'; readonly pool: string }
  /** These five only where slices are asked for. */
  | { readonly reason: 'TooManySlices'; readonly count: number; readonly slicesPerGpu: number }
  | { readonly reason: 'SlicesTooSmall'; readonly count: number; readonly neededCount: number }
  | { readonly reason: 'NoNodeAllowed'; readonly pool: string; readonly nodes: readonly string[] }
  | { readonly reason: 'NoSlices'; readonly pool: string }
  | { readonly reason: 'NoSuchSlices'; readonly node: string; readonly count: number; readonly neededBytes: number }
  | { readonly reason: 'NoMatchingModel'; readonly wanted: readonly string[]; readonly models: readonly string[] }
  | ({ readonly reason: 'NoMatchingMemory'; readonly neededBytes: number; readonly largestBytes: number } & Where)
  | { readonly reason: 'NoHealthyGPUs'; readonly gpus: number }
  | ({ readonly reason: 'GPUTooSmall'; readonly neededBytes: number; readonly largestBytes: number } & Where)
  | ({ readonly reason: 'InsufficientMemory'; readonly neededBytes: number; readonly freeBytes: number } & Where)
  | ({ readonly reason: 'InsufficientCompute'; readonly neededPercent: number; readonly freePercent: number } & Where)
  | {
      /** There is memory enough on one GPU and compute enough on another. */
      readonly reason: 'InsufficientShare';
      readonly neededBytes: number;
      readonly neededPercent: number;
      readonly mostMemory: Where & { readonly freeBytes: number; readonly freePercent: number };
      readonly mostCompute: Where & { readonly freeBytes: number; readonly freePercent: number };
    }
  | {
      /** Single vGPUs fit, but not so many on one node. */
      readonly reason: 'NotEnoughOnOneNode';
      readonly vgpus: number;
      readonly distinct: boolean;
      readonly most: number;
      readonly node: string;
    };

export type RefusalReason = Refusal['reason'];
