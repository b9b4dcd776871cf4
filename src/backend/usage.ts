import type { LedgerOf } from './ledger-directory.ts';
import { countersOf, type Counters, type LedgerRow } from './ledger.ts';

/** What one session does on one GPU just now. */
export interface SessionUsage {
  readonly session: string;
  readonly claimUid: string;
  readonly gpu: string;
  readonly memoryBytes: number;
  readonly busyNs: bigint;
  readonly launches: bigint;
  /** Percent of the GPU's time since the sample before; 0 in a session's first one. */
  readonly utilizationPercent: number;
}

/** What a claim may use of one GPU, and what all of its sessions did there. */
export interface ClaimAccount {
  readonly claimUid: string;
  readonly gpu: string;
  readonly limitBytes: number;
  readonly computePercent: number;
  readonly counters: Counters;
}

/** The accounts of the node at one moment. */
export interface UsageSample {
  /** Milliseconds of any steady clock. */
  readonly at: number;
  readonly sessions: readonly SessionUsage[];
  readonly claims: readonly ClaimAccount[];
}

export const noUsage: UsageSample = { at: 0, sessions: [], claims: [] };

/** The next sample, `ledgers` having been read at `at`. */
export function nextSample(before: UsageSample, ledgers: readonly LedgerOf[], at: number): UsageSample {
  const known = new Map(before.sessions.map((usage) => [placeOf(usage), usage]));
  const elapsedNs = (at - before.at) * 1e6;
  const measure = ({ claimUid, gpu }: LedgerOf, row: LedgerRow): SessionUsage => {
    const { session, memoryBytes, busyNs, launches } = row;
    const earlier = known.get(placeOf({ session, gpu }));
    const busy = earlier === undefined ? 0 : Number(busyNs - earlier.busyNs);
    const utilizationPercent = elapsedNs > 0 && busy > 0 ? Math.min(100, (100 * busy) / elapsedNs) : 0;
    return { session, claimUid, gpu, memoryBytes, busyNs, launches, utilizationPercent };
  };
  return {
    at,
    sessions: ledgers.flatMap((of) => of.ledger.rows.map((row) => measure(of, row))),
    claims: ledgers.map(({ claimUid, gpu, ledger }) => {
      const { limitBytes, computePercent } = ledger;
      return { claimUid, gpu, limitBytes, computePercent, counters: countersOf(ledger) };
    }),
  };
}

const placeOf = ({ session, gpu }: { readonly session: string; readonly gpu: string }): string => `${session} ${gpu}`;

/** What a claim uses of one GPU, over all its sessions. */
export function claimUsage(
  sample: UsageSample,
  claimUid: string,
  gpu: string,
): { readonly usedBytes: number; readonly utilizationPercent: number } {
  const own = sample.sessions.filter((usage) => usage.claimUid === claimUid && usage.gpu === gpu);
  return {
    usedBytes: own.reduce((sum, usage) => sum + usage.memoryBytes, 0),
    utilizationPercent: own.reduce((sum, usage) => sum + usage.utilizationPercent, 0),
  };
}
