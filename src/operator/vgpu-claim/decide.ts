import type { VGPUClaim } from '../../api/kinds.ts';
import { RELEASE_FINALIZER } from '../../api/vgpu-claim.ts';
import { allocate } from '../../core/allocation/allocate.ts';
import type { Refusal } from '../../core/allocation/refusal.ts';
import type { Allocation, Snapshot } from '../../core/allocation/snapshot.ts';
import { allocationsOf, requestOf } from '../facts.ts';
import type { Conflict, Hold } from '../hold.ts';
import { troubleOf, type Trouble } from './trouble.ts';

export type Decision =
  /** Nothing to do now. */
  | { readonly kind: 'Rest' }
  /** It fits: put the finalizer on, so that nothing of a bound claim can get lost. The bind is the next pass. */
  | { readonly kind: 'Guard' }
  | { readonly kind: 'Bind'; readonly allocations: readonly Allocation[] }
  | { readonly kind: 'Wait'; readonly refusal: Refusal }
  /** It is bound and usable; its status is made to say so. */
  | { readonly kind: 'Keep' }
  | { readonly kind: 'Lose'; readonly trouble: Trouble }
  /** Its memory was promised to an earlier claim too: back to Pending. */
  | { readonly kind: 'Withdraw'; readonly conflict: Conflict }
  | { readonly kind: 'Release' }
  /** Our part is over, others still hold the object. */
  | { readonly kind: 'MarkReleased' };

export interface World {
  readonly snapshot: Snapshot;
  /** What the account holds for this claim. */
  readonly hold: Hold | undefined;
  readonly conflict: Conflict | undefined;
}

/** The next step for a claim, given the world as it is now. No I/O, no clock, no side effects. */
export function decide(claim: VGPUClaim, world: World): Decision {
  if (claim.metadata.deletionTimestamp !== undefined) return depart(claim);
  const { phase } = claim.status ?? {};
  return phase === 'Bound' || phase === 'Lost' ? keep(claim, world) : place(claim, world);
}

function depart(claim: VGPUClaim): Decision {
  if (isGuarded(claim)) return { kind: 'Release' };
  return allocationsOf(claim).length > 0 ? { kind: 'MarkReleased' } : { kind: 'Rest' };
}

function keep(claim: VGPUClaim, { snapshot, conflict }: World): Decision {
  if (conflict !== undefined) return { kind: 'Withdraw', conflict };
  if (!isGuarded(claim)) return { kind: 'Guard' };
  const trouble = troubleOf(snapshot, allocationsOf(claim));
  return trouble === undefined ? { kind: 'Keep' } : { kind: 'Lose', trouble };
}

function place(claim: VGPUClaim, { snapshot, hold }: World): Decision {
  // Bound already, and the news is on its way to us.
  if (hold?.confirmed === true) return { kind: 'Rest' };
  // A write was tried and nobody knows how it ended: the same write again, under the same version, is harmless.
  if (hold !== undefined) return { kind: 'Bind', allocations: hold.allocations };

  const result = allocate(snapshot, requestOf(claim));
  if (!result.ok) return { kind: 'Wait', refusal: result.error };
  return isGuarded(claim) ? { kind: 'Bind', allocations: result.value } : { kind: 'Guard' };
}

const isGuarded = ({ metadata }: VGPUClaim): boolean => (metadata.finalizers ?? []).includes(RELEASE_FINALIZER);
