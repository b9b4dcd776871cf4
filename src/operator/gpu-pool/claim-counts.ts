import type { VGPUClaim } from '../../api/kinds.ts';
import type { Change } from '../../runtime/informer.ts';

export interface ClaimsOnPool {
  readonly bound: number;
  readonly pending: number;
}

const NONE: ClaimsOnPool = { bound: 0, pending: 0 };

/** How many claims name each pool, by whether they have their vGPUs. Kept as claims change: a count of all would be made for each. */
export class ClaimCounts {
  readonly #counts = new Map<string, ClaimsOnPool>();

  observe({ before, after }: Change<VGPUClaim>): void {
    this.#add(before, -1);
    this.#add(after, 1);
  }

  of(pool: string): ClaimsOnPool {
    return this.#counts.get(pool) ?? NONE;
  }

  #add(claim: VGPUClaim | undefined, sign: 1 | -1): void {
    if (claim === undefined || claim.metadata.deletionTimestamp !== undefined) return;
    const { poolName } = claim.spec;
    const { bound, pending } = this.of(poolName);
    const next = isBound(claim) ? { bound: bound + sign, pending } : { bound, pending: pending + sign };
    // Users may name any pool: one that no claim names any more is forgotten.
    if (next.bound === 0 && next.pending === 0) this.#counts.delete(poolName);
    else this.#counts.set(poolName, next);
  }
}

const isBound = ({ status }: VGPUClaim): boolean => status?.phase === 'Bound' || status?.phase === 'Lost';
