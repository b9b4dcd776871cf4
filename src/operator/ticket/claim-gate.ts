import type { VGPUClaim } from '../../api/kinds.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import { keyText, type Key } from '../../runtime/store.ts';
import { conditionOf } from '../condition.ts';
import type { Conflict, Hold } from '../hold.ts';

/** Why no ticket may be signed for a claim. */
export interface ClaimRefusal {
  readonly reason: 'OperatorStarting' | 'ClaimNotFound' | 'ClaimNotBound';
  readonly message: string;
}

export interface ClaimView {
  readonly claims: { get(key: string): VGPUClaim | undefined };
  readonly inventory: {
    holdOf(claim: VGPUClaim): Hold | undefined;
    conflictOf(claim: VGPUClaim): Conflict | undefined;
  };
  /** All claims have been read. */
  readonly ready: boolean;
}

/**
 * The claim, if a ticket may be signed for it now: it is Bound in the store as well as in the account, not on its way
 * out, and nobody was promised its memory before. Nothing is signed before all claims have been read.
 */
export function claimForTicket(
  { uid, ...key }: Key & { readonly uid?: string },
  { claims, inventory, ready }: ClaimView,
): Result<VGPUClaim, ClaimRefusal> {
  const name = keyText(key);
  if (!ready) return err({ reason: 'OperatorStarting', message: 'the claims are still being read: try again' });
  const claim = claims.get(name);
  if (claim === undefined || (uid !== undefined && claim.metadata.uid !== uid)) {
    return err({ reason: 'ClaimNotFound', message: `claim ${name} does not exist${claim ? ' any more' : ''}` });
  }
  const why = obstacle(claim, inventory);
  return why === undefined ? ok(claim) : err({ reason: 'ClaimNotBound', message: `claim ${name} ${why}` });
}

function obstacle(claim: VGPUClaim, inventory: ClaimView['inventory']): string | undefined {
  if (claim.metadata.deletionTimestamp !== undefined) return 'is being deleted';
  if (claim.status?.phase !== 'Bound') return describePhase(claim);
  if (inventory.conflictOf(claim) !== undefined) return 'was promised memory that an earlier claim has';
  return inventory.holdOf(claim)?.confirmed === true ? undefined : 'is not in the account yet';
}

function describePhase({ status }: VGPUClaim): string {
  const message = conditionOf(status?.conditions, 'Bound')?.message;
  return `is ${status?.phase ?? 'Pending'}${message === undefined ? '' : `: ${message}`}`;
}
