import type { VGPUClaim } from '../../api/kinds.ts';
import type { Allocation, Snapshot } from '../../core/allocation/snapshot.ts';
import { assertNever } from '../../lib/assert-never.ts';
import type { Clock } from '../../lib/clock.ts';
import { done, retryAfter, type Controller, type Outcome } from '../../runtime/controller.ts';
import { allocationsOf } from '../facts.ts';
import type { Conflict, Hold } from '../hold.ts';
import type { EventSink } from '../../runtime/event-recorder.ts';
import type { SessionControl } from '../ports.ts';
import { decide, type Decision } from './decide.ts';
import { eventOf, referenceTo, released, releaseForced } from './events.ts';
import { boundStatus, conflictStatus, lostStatus, pendingStatus, releasedStatus, type ClaimStatus } from './status.ts';

const RECHECK_MS = 30_000; // Capacity changes wake us sooner; this only covers missed events.
const CLOSE_SLICE_MS = 500; // One pass waits no longer for sessions, so that claims that end slowly hold up no other.

export interface ClaimDeps {
  readonly claims: {
    /** Writes only what differs, under the resourceVersion the claim was read at; false if nothing differed. */
    patchStatus(claim: VGPUClaim, status: ClaimStatus): Promise<boolean>;
    addFinalizer(claim: VGPUClaim): Promise<void>;
    removeFinalizer(claim: VGPUClaim): Promise<void>;
  };
  readonly inventory: {
    snapshot(): Snapshot;
    holdOf(claim: VGPUClaim): Hold | undefined;
    conflictOf(claim: VGPUClaim): Conflict | undefined;
    /** Holds the shares at once. Disposed unconfirmed, they stay in doubt until the claim is read anew. */
    assume(claim: VGPUClaim, allocations: readonly Allocation[]): Disposable & { confirm(): void };
  };
  readonly sessions: SessionControl;
  readonly events: EventSink;
  readonly clock: Clock;
  /** How long a deleted claim waits for its sessions to end. */
  readonly releaseTimeoutMs: number;
}

/** Binds claims to GPUs, keeps their status true and releases them. One decision and one write per pass. */
export function claimController(deps: ClaimDeps): Controller<VGPUClaim> {
  return {
    name: 'vgpuclaim',
    concurrency: 16,

    reconcile(claim) {
      const { inventory } = deps;
      const [hold, conflict] = [inventory.holdOf(claim), inventory.conflictOf(claim)];
      // No await between this snapshot and assume() in `bind`: that is what makes the choice atomic.
      return apply(deps, claim, decide(claim, { snapshot: inventory.snapshot(), hold, conflict }));
    },
  };
}

async function apply(deps: ClaimDeps, claim: VGPUClaim, decision: Decision): Promise<Outcome> {
  switch (decision.kind) {
    case 'Rest':
      return done;
    case 'Guard':
      await deps.claims.addFinalizer(claim);
      return done;
    case 'Bind':
      return bind(deps, claim, decision.allocations);
    case 'Wait':
      await write(deps, claim, pendingStatus(claim, decision.refusal, deps.clock.now()));
      return retryAfter(RECHECK_MS);
    case 'Withdraw':
      return withdraw(deps, claim, decision.conflict);
    case 'Release':
      return release(deps, claim);
    case 'Keep':
    case 'Lose':
    case 'MarkReleased':
      await write(deps, claim, statusFor(deps, claim, decision));
      return done;
    default:
      return assertNever(decision);
  }
}

function statusFor(
  { inventory, clock }: ClaimDeps,
  claim: VGPUClaim,
  decision: Extract<Decision, { kind: 'Keep' | 'Lose' | 'MarkReleased' }>,
): ClaimStatus {
  switch (decision.kind) {
    case 'Keep':
      return boundStatus(claim, allocationsOf(claim), inventory.snapshot(), clock.now());
    case 'Lose':
      return lostStatus(claim, decision.trouble, clock.now());
    case 'MarkReleased':
      return releasedStatus(claim, clock.now());
    default:
      return assertNever(decision);
  }
}

async function write({ claims, events }: ClaimDeps, claim: VGPUClaim, status: ClaimStatus): Promise<void> {
  const changed = await claims.patchStatus(claim, status);
  const event = changed ? eventOf(claim, status) : undefined;
  if (event !== undefined) events.record(referenceTo(claim), event);
}

async function bind(deps: ClaimDeps, claim: VGPUClaim, allocations: readonly Allocation[]): Promise<Outcome> {
  const { inventory, clock } = deps;
  using assumed = inventory.assume(claim, allocations);
  await write(deps, claim, boundStatus(claim, allocations, inventory.snapshot(), clock.now()));
  assumed.confirm();
  return done;
}

/** The earlier claim keeps the memory. No ticket was signed for this one, so there is hardly a session; if so, it ends. */
async function withdraw(deps: ClaimDeps, claim: VGPUClaim, conflict: Conflict): Promise<Outcome> {
  const now = deps.clock.now();
  const deadline = new Date(now.getTime() + CLOSE_SLICE_MS);
  if ((await deps.sessions.close(claim.metadata.uid, deadline)) === 'pending') return retryAfter(CLOSE_SLICE_MS);
  await write(deps, claim, conflictStatus(claim, conflict, now));
  return done;
}

/** The finalizer goes last: while it is there, a crash only means another pass. */
async function release(deps: ClaimDeps, claim: VGPUClaim): Promise<Outcome> {
  const { claims, events, releaseTimeoutMs, inventory } = deps;
  const hadShare = inventory.holdOf(claim) !== undefined;
  const outcome = await closeSessions(deps, claim);
  if (outcome === 'pending') return retryAfter(CLOSE_SLICE_MS);
  await claims.removeFinalizer(claim);
  if (outcome === 'forced') events.record(referenceTo(claim), releaseForced(releaseTimeoutMs));
  else if (hadShare) events.record(referenceTo(claim), released());
  return done;
}

async function closeSessions(deps: ClaimDeps, claim: VGPUClaim): Promise<'closed' | 'pending' | 'forced'> {
  const { sessions, clock, releaseTimeoutMs } = deps;
  const { uid, deletionTimestamp } = claim.metadata;
  const nowMs = clock.now().getTime();
  const endMs = Date.parse(deletionTimestamp ?? clock.now().toISOString()) + releaseTimeoutMs;
  try {
    const outcome = await sessions.close(uid, new Date(Math.min(nowMs + CLOSE_SLICE_MS, Math.max(nowMs, endMs))));
    if (outcome === 'closed') return 'closed';
  } catch (error) {
    // Whoever knows the sessions may be gone for good; that must not keep the claim for ever.
    if (nowMs < endMs) throw error;
  }
  return nowMs < endMs ? 'pending' : 'forced';
}
