import type { Allocation } from '../core/allocation/snapshot.ts';

/**
 * What the account holds for one claim.
 *
 *     assume ──> in doubt ──confirm──> confirmed
 *                   │                      ^
 *                   └── read: bound ───────┘        read anew without allocations ──> nothing held
 */
export interface Hold {
  readonly claimUid: string;
  readonly pool: string;
  readonly allocations: readonly Allocation[];
  /** False: the write is under way, or nobody knows whether it landed. */
  readonly confirmed: boolean;
  /** When the claim was bound (RFC 3339); undefined until its status has been read. */
  readonly boundAt: string | undefined;
}

/** Memory of one GPU that was promised twice: what it has, what earlier claims have of it, and what this one has. */
export interface Conflict {
  readonly node: string;
  readonly gpu: string;
  readonly memoryBytes: number;
  readonly earlierBytes: number;
  readonly ownBytes: number;
}

/** Earlier binding first. One that was not read yet is the latest: its write may not even have landed. */
export function compareHolds(a: Hold, b: Hold): number {
  return order(rank(a), rank(b)) || order(a.claimUid, b.claimUid);
}

const rank = ({ boundAt }: Hold): number => (boundAt === undefined ? Infinity : Date.parse(boundAt));

const order = <T extends number | string>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0);
