import type { GPUNode } from '../../api/kinds.ts';
import type { Condition } from '../../api/meta.ts';
import { formatBytes } from '../../api/quantity.ts';
import type { SliceSupply } from '../../core/allocation/slices.ts';
import { conditionOf, withCondition } from '../condition.ts';
import type { Promised } from '../inventory.ts';
import type { Silence } from './liveness.ts';

/** The fields of a node's status that are the operator's; the rest is its agent's. */
export interface NodeStatus {
  readonly observedGeneration: number;
  readonly promised: readonly { uuid: string; memory: string; compute: number; claims: number }[];
  readonly slices: SliceSupply;
  readonly conditions: readonly Condition[];
  readonly [field: string]: unknown;
}

export interface NodeView {
  /** Undefined: no agent has reported yet. */
  readonly silence: Silence | undefined;
  readonly graceMs: number;
  readonly promisedOf: (gpu: string) => Promised;
  readonly slices: SliceSupply;
  readonly now: Date;
}

export function nodeStatus(node: GPUNode, view: NodeView): NodeStatus {
  const observedGeneration = node.metadata.generation;
  const ready = { type: 'Ready', ...readiness(node, view), observedGeneration };
  const healthy = { type: 'Healthy', ...health(node), observedGeneration };
  const conditions = withCondition(node.status?.conditions, ready, view.now);
  return {
    observedGeneration,
    promised: (node.status?.gpus ?? []).map(({ uuid }) => {
      const { memoryBytes, computePercent, claims } = view.promisedOf(uuid);
      return { uuid, memory: formatBytes(memoryBytes), compute: computePercent, claims };
    }),
    slices: view.slices,
    conditions: withCondition(conditions, healthy, view.now),
  };
}

type Finding = Pick<Condition, 'status' | 'reason' | 'message'>;

function readiness({ status }: GPUNode, { silence, graceMs }: NodeView): Finding {
  if (silence === undefined) {
    return { status: 'False', reason: 'NoAgent', message: 'no agent has reported yet' };
  }
  // After a restart of ours, a node that was lost stays lost until it reports again.
  const stillLost = silence.unheard && conditionOf(status?.conditions, 'Ready')?.reason === 'AgentLost';
  if (stillLost || silence.ms >= graceMs) {
    const since = silence.since === undefined ? 'does not report' : `has not reported since ${silence.since}`;
    return { status: 'False', reason: 'AgentLost', message: `the agent ${since}` };
  }
  return { status: 'True', reason: 'AgentReady', message: 'the agent reports' };
}

function health({ status }: GPUNode): Finding {
  const gpus = status?.gpus ?? [];
  const ill = gpus.filter((gpu) => !gpu.healthy);
  if (gpus.length === 0) return { status: 'Unknown', reason: 'NoGPUs', message: 'the node shows no GPU' };
  if (ill.length === 0)
    return { status: 'True', reason: 'AllHealthy', message: `${gpus.length} of ${gpus.length} GPUs are healthy` };
  const message = ill.map(({ uuid, reason }) => (reason === undefined ? uuid : `${uuid}: ${reason}`)).join(', ');
  return { status: 'False', reason: 'GPUUnhealthy', message };
}
