import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { sleep } from './sleep.ts';
import { isStoreError } from './store.ts';
import { stopwatch, type Stopwatch } from './stopwatch.ts';

/**
 * One of several replicas leads at a time.
 *
 *     standing by ──lease free, or not renewed for its duration──> leading ──deadline passed, or another holds it──> lost
 *          ^                                                          │                                              │
 *          └──────────────────── release (after the last write) ──────┴──────────────────────────────────────────────┘
 *
 * A replica that has not renewed for `deadlineMs` does not lead, whatever it believes; another takes over only after
 * `durationMs`. The epoch tells leaders apart for those who cannot see the Lease: it only ever grows, even when somebody
 * deletes the Lease, because it is never less than the time.
 */

/** What is written in the Lease. */
export interface LeaseRecord {
  /** Undefined: nobody holds it. */
  readonly holder: string | undefined;
  readonly durationMs: number;
  readonly acquiredAt: string;
  readonly renewedAt: string;
  readonly transitions: number;
  readonly epoch: number;
}

/** Where the Lease is kept. */
export interface LeaseStore {
  read(): Promise<{ readonly record: LeaseRecord; readonly version: string } | undefined>;
  /** Writes over that version, or creates the Lease without one; returns the new version. @throws StoreError `Conflict` or `AlreadyExists`: another was quicker. */
  write(record: LeaseRecord, version: string | undefined): Promise<string>;
}

export interface Leadership {
  readonly epoch: number;
  /** Whether we lead now: asked before every write, it needs no timer to have run. */
  readonly holds: () => boolean;
  /** Aborted when we lead no more. */
  readonly lost: AbortSignal;
  /** Gives the Lease up, so that the next need not wait: only to be called when nothing is in work any more. */
  release(): Promise<void>;
}

export interface LeadershipOptions {
  readonly lease: LeaseStore;
  /** Tells this process from all others, also from an earlier one of the same pod. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log: Log;
  /** @default 15_000 */
  readonly durationMs?: number;
  /** @default 10_000 */
  readonly deadlineMs?: number;
  /** @default 2_000 */
  readonly retryMs?: number;
}

const DEFAULTS = { durationMs: 15_000, deadlineMs: 10_000, retryMs: 2_000 };

type Settled = LeadershipOptions & typeof DEFAULTS;

/** What was last read of the Lease, and how long ago that became true. */
interface Observed {
  readonly record: LeaseRecord;
  readonly version: string;
  readonly unchanged: Stopwatch;
}

/** Waits until we lead; undefined if the signal comes first. */
export async function campaign(options: LeadershipOptions, signal: AbortSignal): Promise<Leadership | undefined> {
  const settled: Settled = { ...DEFAULTS, ...options };
  const { clock, log, retryMs } = settled;
  let observed: Observed | undefined;
  while (!signal.aborted) {
    try {
      observed = await observe(settled, observed);
      if (isFree(observed)) return await acquire(settled, observed);
    } catch (err) {
      if (!wasQuicker(err)) log.warn('lease not read or taken', { err });
    }
    await sleep(clock, retryMs, signal);
  }
  return undefined;
}

/** Reads the Lease. How long it has been as it is counts by our own clock: clocks of others may be wrong. */
async function observe({ lease, clock }: Settled, before: Observed | undefined): Promise<Observed | undefined> {
  const unchanged = stopwatch(clock);
  const read = await lease.read();
  if (read === undefined) return undefined;
  return before?.version === read.version ? before : { ...read, unchanged };
}

const isFree = (observed: Observed | undefined): boolean =>
  observed?.record.holder === undefined || observed.unchanged.elapsedMs() > observed.record.durationMs;

const wasQuicker = (error: unknown): boolean => isStoreError(error, 'Conflict') || isStoreError(error, 'AlreadyExists');

async function acquire(settled: Settled, observed: Observed | undefined): Promise<Leadership> {
  const { identity, clock, log, durationMs } = settled;
  const now = clock.now();
  const acquiredAt = now.toISOString();
  const record: LeaseRecord = {
    holder: identity,
    durationMs,
    acquiredAt,
    renewedAt: acquiredAt,
    transitions: (observed?.record.transitions ?? -1) + 1,
    epoch: Math.max((observed?.record.epoch ?? 0) + 1, now.getTime()),
  };
  const held = await write(settled, { record, version: observed?.version });
  log.info('leading', { identity, epoch: record.epoch });
  return lead(settled, held);
}

/** Without a version there is no Lease yet. */
interface Wanted {
  readonly record: LeaseRecord;
  readonly version: string | undefined;
}

interface Held extends Wanted {
  readonly version: string;
  /** Started before the write that renewed the Lease was sent. */
  readonly renewed: Stopwatch;
}

/** Renews until the Lease is lost or given up. */
function lead(settled: Settled, first: Held): Leadership {
  const { clock, log, lease, deadlineMs, retryMs } = settled;
  const { epoch } = first.record;
  const [lost, released] = [new AbortController(), new AbortController()];
  const ended = AbortSignal.any([lost.signal, released.signal]);
  let held = first;
  const leftMs = (): number => deadlineMs - held.renewed.elapsedMs();
  const holds = (): boolean => !ended.aborted && leftMs() > 0;

  const renewing = (async () => {
    while (holds()) {
      await sleep(clock, Math.min(retryMs, leftMs()), ended);
      if (!holds()) break;
      // An answer that comes after the deadline is of no use.
      const next = await Promise.race([renewed(settled, held), sleep(clock, leftMs(), ended)]);
      if (next === 'Lost') break;
      held = next ?? held;
    }
    if (released.signal.aborted) return;
    log.warn('no longer leading', { epoch });
    lost.abort();
  })();

  return {
    epoch,
    holds,
    lost: lost.signal,
    async release() {
      const wasHeld = holds();
      released.abort();
      await renewing;
      if (!wasHeld) return;
      await lease.write({ ...held.record, holder: undefined }, held.version).catch((err: unknown) => {
        log.warn('lease not given up: the next leader waits until it runs out', { err });
      });
    },
  };
}

async function renewed(settled: Settled, held: Held): Promise<Held | 'Lost'> {
  try {
    return await renew(settled, held);
  } catch (err) {
    if (isStoreError(err, 'NotFound')) return 'Lost';
    settled.log.warn('lease not renewed', { err });
    return held;
  }
}

async function renew(settled: Settled, held: Held): Promise<Held | 'Lost'> {
  const { lease, identity } = settled;
  try {
    return await write(settled, held);
  } catch (error) {
    if (!isStoreError(error, 'Conflict')) throw error;
    // Another holds it, or an earlier write of ours landed although no answer came.
    const read = await lease.read();
    const isOurs = read?.record.holder === identity && read.record.epoch === held.record.epoch;
    return isOurs ? write(settled, read) : 'Lost';
  }
}

async function write({ lease, clock }: Settled, { record, version }: Wanted): Promise<Held> {
  const renewed = stopwatch(clock);
  const next = { ...record, renewedAt: clock.now().toISOString() };
  return { record: next, version: await lease.write(next, version), renewed };
}
