import type { VGPUClaim } from '../../api/kinds.ts';
import type { EventDraft, ObjectReference } from '../../runtime/store.ts';
import { conditionOf } from '../condition.ts';
import type { ClaimStatus } from './status.ts';

export const referenceTo = ({ metadata }: VGPUClaim): ObjectReference => ({
  kind: 'VGPUClaim',
  namespace: metadata.namespace,
  name: metadata.name,
  uid: metadata.uid,
});

/** What happened to a claim whose status was just written; undefined if only numbers have changed. */
export function eventOf(claim: VGPUClaim, next: ClaimStatus): EventDraft | undefined {
  const before = conditionOf(claim.status?.conditions, 'Bound');
  const after = conditionOf(next.conditions, 'Bound');
  if (after === undefined || after.reason === before?.reason) return undefined;
  // Until it is bound the pod that waits for it is told the same, and nobody else waits: an event less for each that starts.
  if (isWaitedFor(claim)) return undefined;
  const { reason, message } = after;
  if (next.phase === 'Bound' && claim.status?.phase === 'Lost') return { type: 'Normal', reason: 'Recovered', message };
  return { type: next.phase === 'Bound' ? 'Normal' : 'Warning', reason, message };
}

const isWaitedFor = (claim: VGPUClaim): boolean => isOfPod(claim) && (claim.status?.phase ?? 'Pending') === 'Pending';

const isOfPod = ({ metadata }: VGPUClaim): boolean =>
  metadata.ownerReferences?.some(({ kind, controller }) => kind === 'Pod' && controller === true) === true;

export const released = (): EventDraft => ({
  type: 'Normal',
  reason: 'Released',
  message: 'sessions are over, the share was given back',
});

export const releaseForced = (waitedMs: number): EventDraft => ({
  type: 'Warning',
  reason: 'ReleaseForced',
  message: `sessions did not end within ${waitedMs / 1000} s; the share was given back all the same`,
});
