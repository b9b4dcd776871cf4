import type { GPUNode } from '../../api/kinds.ts';
import { sliceSupply } from '../../core/allocation/slices.ts';
import type { Snapshot } from '../../core/allocation/snapshot.ts';
import type { Clock } from '../../lib/clock.ts';
import { done, retryAfter, type Controller } from '../../runtime/controller.ts';
import type { EventDraft } from '../../runtime/store.ts';
import { conditionOf } from '../condition.ts';
import type { Promised } from '../inventory.ts';
import type { EventSink } from '../../runtime/event-recorder.ts';
import type { Liveness } from './liveness.ts';
import { nodeStatus, type NodeStatus } from './status.ts';

export interface NodeDeps {
  readonly nodes: { patchStatus(node: GPUNode, status: NodeStatus): Promise<boolean> };
  readonly inventory: { snapshot(): Snapshot; promisedOf(node: string, gpu: string): Promised };
  readonly liveness: Liveness;
  readonly events: EventSink;
  readonly clock: Clock;
  /** A node that has been silent so long is lost. */
  readonly graceMs: number;
}

/** Says of each node whether its agent answers and what is promised of its GPUs. */
export function nodeController({ nodes, inventory, liveness, events, clock, graceMs }: NodeDeps): Controller<GPUNode> {
  return {
    name: 'gpunode',
    concurrency: 4,

    async reconcile(node) {
      const { name } = node.metadata;
      const now = clock.now();
      const silence = node.status?.agent === undefined ? undefined : liveness.silenceOf(name, now.getTime());
      const promisedOf = (gpu: string): Promised => inventory.promisedOf(name, gpu);
      const slices = sliceSupply(inventory.snapshot(), name);
      const status = nodeStatus(node, { silence, graceMs, promisedOf, slices, now });

      const changed = await nodes.patchStatus(node, status);
      for (const event of changed ? eventsOf(node, status) : []) {
        events.record({ kind: 'GPUNode', name, uid: node.metadata.uid }, event);
      }
      return silence !== undefined && silence.ms < graceMs ? retryAfter(graceMs - silence.ms) : done;
    },
  };
}

/** A condition whose reason is new is an event. */
function eventsOf(node: GPUNode, { conditions }: NodeStatus): EventDraft[] {
  return conditions.flatMap(({ type, status, reason, message }) => {
    if (conditionOf(node.status?.conditions, type)?.reason === reason) return [];
    return [{ type: status === 'False' ? 'Warning' : 'Normal', reason, message } as const];
  });
}
