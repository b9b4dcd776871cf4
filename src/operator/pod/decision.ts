import type { VGPUClaim } from '../../api/kinds.ts';
import type { Pod } from '../../api/pod.ts';
import type { Refusal } from '../../core/allocation/refusal.ts';
import type { SliceShare } from '../../core/allocation/slices.ts';
import type { Result } from '../../lib/result.ts';
import type { Draft } from '../../runtime/store.ts';
import { conditionOf } from '../condition.ts';
import type { SliceAsk } from './ask.ts';

export type Decision =
  | { readonly kind: 'Rest' }
  | { readonly kind: 'MakeClaim'; readonly draft: Draft }
  /** The pod is over, though its object, such as that of a Job, may stay for long; or another claim is to be made. */
  | { readonly kind: 'DropClaim'; readonly claim: VGPUClaim }
  | { readonly kind: 'Ungate'; readonly claim: VGPUClaim }
  | { readonly kind: 'Wait'; readonly reason: WaitReason; readonly message: string };

export type WaitReason = 'InvalidRequest' | 'ClaimNotFound' | 'ClaimNotReady' | 'ClaimNameTaken' | 'SlicesUnavailable';

export interface World {
  readonly claim: (namespace: string, name: string) => VGPUClaim | undefined;
  /** Whether any namespace has a claim of that name. */
  readonly isSomewhere: (name: string) => boolean;
  /** Where the pod could have slices now. */
  readonly placeSlices: (pod: Pod, ask: SliceAsk) => Result<SliceShare, Refusal>;
  /** Whether the kubelet of the node knows of all slices that claims have there: else it would reject the pod for good. */
  readonly offersSlices: (node: string) => boolean;
}

/** The pod goes when this claim, its own or one that it names, is bound. */
export function awaitClaim(claim: VGPUClaim): Decision {
  const { name, deletionTimestamp } = claim.metadata;
  const wait = (message: string): Decision => ({ kind: 'Wait', reason: 'ClaimNotReady', message });
  if (deletionTimestamp !== undefined) return wait(`claim ${name} is being deleted`);
  if (claim.status?.phase === 'Bound') return { kind: 'Ungate', claim };
  const why = conditionOf(claim.status?.conditions, 'Bound')?.message;
  if (why === undefined) return { kind: 'Rest' }; // It is looked at this moment, and then there is something to say.
  return wait(`claim ${name} is ${claim.status?.phase ?? 'Pending'}: ${why}`);
}

export function nameTaken({ metadata: { name } }: VGPUClaim): Decision {
  const message = `claim ${name} was to be made for this pod, but somebody else made one of that name`;
  return { kind: 'Wait', reason: 'ClaimNameTaken', message };
}
