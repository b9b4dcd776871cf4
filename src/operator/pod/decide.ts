import type { VGPUClaim } from '../../api/kinds.ts';
import { isFinished, isGated, type Pod } from '../../api/pod.ts';
import { assertNever } from '../../lib/assert-never.ts';
import type { Draft } from '../../runtime/store.ts';
import { conditionOf } from '../condition.ts';
import { askOf, type OwnSpec } from './ask.ts';
import { isOwnClaim, ownClaimDraft, ownClaimName } from './own-claim.ts';

export type Decision =
  | { readonly kind: 'Rest' }
  | { readonly kind: 'MakeClaim'; readonly draft: Draft }
  /** The pod is over; its object, such as that of a Job, may stay for long. */
  | { readonly kind: 'DropClaim'; readonly claim: VGPUClaim }
  | { readonly kind: 'Ungate'; readonly claim: VGPUClaim }
  | { readonly kind: 'Wait'; readonly reason: WaitReason; readonly message: string };

export type WaitReason = 'InvalidRequest' | 'ClaimNotFound' | 'ClaimNotReady' | 'ClaimNameTaken';

export interface World {
  readonly claim: (namespace: string, name: string) => VGPUClaim | undefined;
  /** Whether any namespace has a claim of that name. */
  readonly isSomewhere: (name: string) => boolean;
}

/** The next step for a pod that asks for a vGPU. No I/O, no clock, no side effects. */
export function decide(pod: Pod, world: World): Decision {
  if (isFinished(pod)) return finish(pod, world);
  if (!isGated(pod) || pod.metadata.deletionTimestamp !== undefined) return { kind: 'Rest' };
  const ask = askOf(pod);
  if (!ask.ok) return { kind: 'Wait', reason: 'InvalidRequest', message: ask.error };
  switch (ask.value.kind) {
    case 'Nothing': {
      const message = 'nothing is asked for any more: put the annotations back, or delete the pod';
      return { kind: 'Wait', reason: 'InvalidRequest', message };
    }
    case 'Claim':
      return shared(pod, ask.value.name, world);
    case 'Own':
      return own(pod, ask.value.spec, world);
    default:
      return assertNever(ask.value);
  }
}

function finish(pod: Pod, world: World): Decision {
  const claim = world.claim(pod.metadata.namespace, ownClaimName(pod));
  const isLeft = claim !== undefined && claim.metadata.deletionTimestamp === undefined && isOwnClaim(claim, pod);
  return isLeft ? { kind: 'DropClaim', claim } : { kind: 'Rest' };
}

function shared({ metadata: { namespace } }: Pod, name: string, world: World): Decision {
  const claim = world.claim(namespace, name);
  if (claim !== undefined) return awaitClaim(claim);
  // Which namespace it is, is nobody's business but its own.
  const hint = world.isSomewhere(name)
    ? 'another namespace has one, but pods use claims of their own namespace only'
    : 'create it, or name another';
  return {
    kind: 'Wait',
    reason: 'ClaimNotFound',
    message: `there is no claim ${name} in namespace ${namespace}: ${hint}`,
  };
}

function own(pod: Pod, spec: OwnSpec, world: World): Decision {
  const claim = world.claim(pod.metadata.namespace, ownClaimName(pod));
  if (claim === undefined) return { kind: 'MakeClaim', draft: ownClaimDraft(pod, spec) };
  if (isOwnClaim(claim, pod)) return awaitClaim(claim);
  const message = `claim ${claim.metadata.name} was to be made for this pod, but somebody else made one of that name`;
  return { kind: 'Wait', reason: 'ClaimNameTaken', message };
}

function awaitClaim(claim: VGPUClaim): Decision {
  const { name, deletionTimestamp } = claim.metadata;
  const wait = (message: string): Decision => ({ kind: 'Wait', reason: 'ClaimNotReady', message });
  if (deletionTimestamp !== undefined) return wait(`claim ${name} is being deleted`);
  if (claim.status?.phase === 'Bound') return { kind: 'Ungate', claim };
  const why = conditionOf(claim.status?.conditions, 'Bound')?.message;
  if (why === undefined) return { kind: 'Rest' }; // It is looked at this moment, and then there is something to say.
  return wait(`claim ${name} is ${claim.status?.phase ?? 'Pending'}: ${why}`);
}
