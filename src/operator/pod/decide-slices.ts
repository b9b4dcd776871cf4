import { SLICE_RESOURCE } from '../../api/extended-resource.ts';
import type { VGPUClaim } from '../../api/kinds.ts';
import type { Pod } from '../../api/pod.ts';
import { explain } from '../../core/allocation/explain.ts';
import type { Refusal } from '../../core/allocation/refusal.ts';
import { jsonEqual } from '../../lib/json-equal.ts';
import { conditionOf } from '../condition.ts';
import type { SliceAsk } from './ask.ts';
import { awaitClaim, nameTaken, type Decision, type World } from './decision.ts';
import { isOwnClaim, ownClaimDraft, ownClaimName, sliceSpec } from './own-claim.ts';

/**
 * The claim is made once there is a place, for the GPUs of one node. Others may have been quicker when it is bound: then
 * it goes, and is made anew wherever there is a place by then.
 */
export function decideSlices(pod: Pod, ask: SliceAsk, world: World): Decision {
  const claim = world.claim(pod.metadata.namespace, ownClaimName(pod));
  if (claim === undefined) {
    const place = world.placeSlices(pod, ask);
    if (!place.ok) return noPlace(ask, place.error);
    return { kind: 'MakeClaim', draft: ownClaimDraft(pod, sliceSpec(ask, place.value)) };
  }
  if (!isOwnClaim(claim, pod)) return nameTaken(claim);
  return isOutrun(claim, pod, { ask, world }) ? { kind: 'DropClaim', claim } : awaitKubelet(awaitClaim(claim), world);
}

interface Asked {
  readonly ask: SliceAsk;
  readonly world: World;
}

/** It found no room where it was made for, and there is some elsewhere. */
function isOutrun({ metadata, spec, status }: VGPUClaim, pod: Pod, { ask, world }: Asked): boolean {
  const isRefused = conditionOf(status?.conditions, 'Bound')?.status === 'False';
  if (!isRefused || metadata.deletionTimestamp !== undefined) return false;
  const place = world.placeSlices(pod, ask);
  if (!place.ok) return false;
  const { slices, resources } = sliceSpec(ask, place.value);
  return !jsonEqual([spec.slices, spec.resources], [slices, resources]);
}

function awaitKubelet(decision: Decision, { offersSlices }: World): Decision {
  const node = decision.kind === 'Ungate' ? decision.claim.spec.slices?.nodeName : undefined;
  if (node === undefined || offersSlices(node)) return decision;
  const message = `its vGPU is there; the kubelet of ${node} is being told of the slices that have become free`;
  return { kind: 'Wait', reason: 'ClaimNotReady', message };
}

function noPlace({ count }: SliceAsk, refusal: Refusal): Decision {
  const isWrong = refusal.reason === 'TooManySlices' || refusal.reason === 'SlicesTooSmall';
  const message = `${SLICE_RESOURCE}: ${count} in all: ${explain(refusal)}`;
  return { kind: 'Wait', reason: isWrong ? 'InvalidRequest' : 'SlicesUnavailable', message };
}
