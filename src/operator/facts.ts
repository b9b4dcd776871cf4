import type { GPUNode, GPUPool, VGPUClaim } from '../api/kinds.ts';
import { bytesOf } from '../api/quantity.ts';
import type { Request } from '../core/allocation/fit.ts';
import type { Allocation, NodeFacts, PoolFacts } from '../core/allocation/snapshot.ts';
import { conditionOf } from './condition.ts';

/** What the allocation engine must know of a node. A node counts once the operator has found that its agent answers. */
export function nodeFacts({ metadata, status }: GPUNode): NodeFacts {
  return {
    name: metadata.name,
    labels: metadata.labels ?? {},
    ready: conditionOf(status?.conditions, 'Ready')?.status === 'True',
    endpoint: status?.agent?.endpoint,
    gpus: (status?.gpus ?? []).map(({ uuid, model, memory, healthy }) => ({
      uuid,
      model,
      memoryBytes: bytesOf(memory),
      healthy,
    })),
  };
}

export function poolFacts({ metadata, spec }: GPUPool): PoolFacts {
  return {
    name: metadata.name,
    matchLabels: spec.nodeSelector?.matchLabels ?? {},
    placement: spec.placement,
    memoryPercent: spec.oversubscription.memory,
    computePercent: spec.oversubscription.compute,
    slicesPerGpu: spec.slicesPerGPU,
  };
}

export function requestOf({ spec }: VGPUClaim): Request {
  return {
    pool: spec.poolName,
    vgpus: spec.vgpus,
    memoryBytes: bytesOf(spec.resources.memory),
    computePercent: spec.resources.compute,
    distinct: spec.vgpuPlacement === 'Distinct',
    models: spec.gpuSelector?.model ?? [],
    minMemoryBytes: bytesOf(spec.gpuSelector?.minMemory ?? '0'),
    slices: spec.slices && { node: spec.slices.nodeName, count: spec.slices.count },
  };
}

/** What a claim's status says that it has. A status without allocations promises nothing. */
export function allocationsOf({ spec, status }: VGPUClaim): readonly Allocation[] {
  return (status?.allocations ?? []).map(({ vgpu, node, gpu, memory, compute }) => ({
    vgpu,
    node,
    gpu,
    memoryBytes: bytesOf(memory),
    computePercent: compute,
    ...(spec.slices === undefined ? {} : { slices: spec.slices.count }),
  }));
}
