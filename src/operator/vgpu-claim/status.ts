import type { VGPUClaim } from '../../api/kinds.ts';
import type { Condition } from '../../api/meta.ts';
import { formatBytes } from '../../api/quantity.ts';
import { explain } from '../../core/allocation/explain.ts';
import type { Refusal } from '../../core/allocation/refusal.ts';
import { nodeAt, type Allocation, type Snapshot } from '../../core/allocation/snapshot.ts';
import { assertNever } from '../../lib/assert-never.ts';
import { withCondition } from '../condition.ts';
import type { Conflict } from '../hold.ts';
import type { Trouble } from './trouble.ts';

type Status = NonNullable<VGPUClaim['status']>;

/** All fields of the status that the operator writes; undefined removes one. */
export interface ClaimStatus {
  readonly phase: Status['phase'];
  readonly observedGeneration: number;
  readonly allocations: Status['allocations'] | undefined;
  readonly conditions: readonly Condition[];
  readonly [field: string]: unknown;
}

export function boundStatus(
  claim: VGPUClaim,
  allocations: readonly Allocation[],
  snapshot: Snapshot,
  now: Date,
): ClaimStatus {
  const places = [...new Set(allocations.map(({ gpu, node }) => `${gpu} of ${node}`))];
  const bound = { status: 'True', reason: 'Bound', message: `bound to ${places.join(' and ')}` } as const;
  const has = allocations.map((allocation) => written(claim, allocation, snapshot));
  return { phase: 'Bound', ...answer(claim, bound, now), allocations: has };
}

/** The claim keeps its share, so it stays bound; what its reason says is that the share cannot be used. */
export function lostStatus(claim: VGPUClaim, trouble: Trouble, now: Date): ClaimStatus {
  const bound = { status: 'True', reason: trouble.reason, message: explainTrouble(trouble) } as const;
  return { phase: 'Lost', ...answer(claim, bound, now), allocations: claim.status?.allocations };
}

export function pendingStatus(claim: VGPUClaim, refusal: Refusal, now: Date): ClaimStatus {
  const bound = { status: 'False', reason: refusal.reason, message: explain(refusal) } as const;
  return { phase: 'Pending', ...answer(claim, bound, now), allocations: undefined };
}

export function conflictStatus(claim: VGPUClaim, conflict: Conflict, now: Date): ClaimStatus {
  const bound = { status: 'False', reason: 'Conflict', message: explainConflict(conflict) } as const;
  return { phase: 'Pending', ...answer(claim, bound, now), allocations: undefined };
}

export function releasedStatus(claim: VGPUClaim, now: Date): ClaimStatus {
  const bound = { status: 'False', reason: 'Released', message: 'its share was given back' } as const;
  return { phase: 'Released', ...answer(claim, bound, now), allocations: undefined };
}

type Bound = Pick<Condition, 'status' | 'reason' | 'message'>;

function answer(claim: VGPUClaim, bound: Bound, now: Date) {
  const observedGeneration = claim.metadata.generation;
  const conditions = withCondition(claim.status?.conditions, { type: 'Bound', ...bound, observedGeneration }, now);
  return { observedGeneration, conditions };
}

/** An allocation as the status has it. While the node does not tell where it listens, the last word holds. */
function written(claim: VGPUClaim, { vgpu, node, gpu, memoryBytes, computePercent }: Allocation, snapshot: Snapshot) {
  const before = claim.status?.allocations?.find((allocation) => allocation.vgpu === vgpu && allocation.node === node);
  const endpoint = nodeAt(snapshot, node)?.endpoint ?? before?.endpoint;
  const amounts = { memory: formatBytes(memoryBytes), compute: computePercent };
  return endpoint === undefined ? { vgpu, node, gpu, ...amounts } : { vgpu, node, gpu, ...amounts, endpoint };
}

function explainTrouble(trouble: Trouble): string {
  switch (trouble.reason) {
    case 'NodeGone':
      return `node ${trouble.node} is gone; the share stays reserved for its return`;
    case 'AgentLost':
      return `the agent of node ${trouble.node} does not report; the share stays reserved`;
    case 'GPUGone':
      return `${trouble.gpu} is no longer on node ${trouble.node}; the share stays reserved for its return`;
    case 'GPUUnhealthy':
      return `${trouble.gpu} of node ${trouble.node} is not healthy; the share stays reserved`;
    default:
      return assertNever(trouble);
  }
}

function explainConflict({ node, gpu, memoryBytes, earlierBytes, ownBytes }: Conflict): string {
  const [has, earlier, own] = [memoryBytes, earlierBytes, ownBytes].map(formatBytes);
  return `${gpu} of ${node} has ${has}; earlier claims have ${earlier} of it, and this one was given ${own} more`;
}
