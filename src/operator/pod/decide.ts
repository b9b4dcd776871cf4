import { isFinished, isGated, type Pod } from '../../api/pod.ts';
import { assertNever } from '../../lib/assert-never.ts';
import { askOf, type OwnSpec } from './ask.ts';
import { decideSlices } from './decide-slices.ts';
import { awaitClaim, nameTaken, type Decision, type World } from './decision.ts';
import { isOwnClaim, ownClaimDraft, ownClaimName } from './own-claim.ts';

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
    case 'Slices':
      return decideSlices(pod, ask.value, world);
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
  return isOwnClaim(claim, pod) ? awaitClaim(claim) : nameTaken(claim);
}
