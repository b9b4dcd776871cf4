import { gpuAt, nodeAt, type Allocation, type Snapshot } from '../../core/allocation/snapshot.ts';

/** Why the vGPUs of a bound claim cannot be used. Its share stays held: it is for the claim when they are back. */
export type Trouble =
  | { readonly reason: 'NodeGone' | 'AgentLost'; readonly node: string }
  | { readonly reason: 'GPUGone' | 'GPUUnhealthy'; readonly node: string; readonly gpu: string };

/** The first trouble among these allocations, if there is one. */
export function troubleOf(snapshot: Snapshot, allocations: readonly Allocation[]): Trouble | undefined {
  for (const { node, gpu } of allocations) {
    const entry = nodeAt(snapshot, node);
    if (entry === undefined) return { reason: 'NodeGone', node };
    if (!entry.ready) return { reason: 'AgentLost', node };
    const device = gpuAt(snapshot, node, gpu);
    if (device === undefined) return { reason: 'GPUGone', node, gpu };
    if (!device.healthy) return { reason: 'GPUUnhealthy', node, gpu };
  }
  return undefined;
}
