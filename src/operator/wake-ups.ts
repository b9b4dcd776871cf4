import type { GPUPool, Kinds, VGPUClaim } from '../api/kinds.ts';
import type { Clock } from '../lib/clock.ts';
import { jsonEqual } from '../lib/json-equal.ts';
import type { Log } from '../lib/log.ts';
import type { Beat } from '../runtime/heartbeats.ts';
import type { Change, Informer } from '../runtime/informer.ts';
import type { WorkQueue } from '../runtime/queue.ts';
import { keyOf, keyText } from '../runtime/store.ts';
import { conditionOf } from './condition.ts';
import type { Liveness } from './gpu-node/liveness.ts';
import type { Effect, Inventory } from './inventory.ts';
import type { SessionControl } from './ports.ts';

export interface Informers {
  readonly pools: Informer<Kinds, 'GPUPool'>;
  readonly nodes: Informer<Kinds, 'GPUNode'>;
  readonly claims: Informer<Kinds, 'VGPUClaim'>;
}

export interface Queues {
  readonly pools: WorkQueue;
  readonly nodes: WorkQueue;
  readonly claims: WorkQueue;
}

export interface WakeUpParts {
  readonly informers: Informers;
  readonly queues: Queues;
  readonly inventory: Inventory;
  readonly liveness: Liveness;
  readonly sessions: SessionControl;
  /** Wakes the pods that wait for slices. */
  readonly wakePods: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

const SUMMARY_DELAY_MS = 200; // Sums of many claims: a burst of binds is one write of each, not one per claim.
const GATHER_MS = 10; // Shares that come back together wake those who wait once.

/**
 * Which change of which object makes which others look again. The account learns of a change first, so whoever is
 * woken decides on what is. Changes only enqueue keys; what is to be done is found out by the pass.
 */
export function wireWakeUps(parts: WakeUpParts): void {
  const { informers, inventory, liveness, queues } = parts;
  const wakeWaiting = waitingWaker(parts);

  informers.pools.onChange((change) => {
    const effect = inventory.observePool(change);
    if (changedOutsideStatus(change)) queues.pools.add(change.key);
    // Sums that an earlier leader sent may land after ours; those that we wrote ourselves need no other write.
    else if (change.after !== undefined) queues.pools.addAfter(change.key, SUMMARY_DELAY_MS);
    if (effect !== 'Capacity') return;
    for (const node of informers.nodes.list()) queues.nodes.addAfter(node.metadata.name, SUMMARY_DELAY_MS);
    wakeWaiting();
  });

  informers.nodes.onChange((change) => {
    const effect = inventory.observeNode(change);
    queues.nodes.add(change.key);
    if (change.after === undefined) liveness.forget(change.key);
    if (effect === 'Capacity') nodeChanged(parts, change.key, wakeWaiting);
  });

  informers.claims.onChange((change) => {
    const effect: Effect = inventory.observeClaim(change);
    queues.claims.add(change.key);
    wakeSummaries(parts, change);
    if (effect === 'Released') wakeWaiting();
    if (isGone(change)) closeForGood(parts, change.before);
  });
}

/** A node that is ready is looked at again when it has been silent for too long, and not at each beat. */
export function heartbeatListener({
  informers,
  liveness,
  queues,
  clock,
}: Omit<WakeUpParts, 'sessions' | 'inventory' | 'wakePods'>) {
  return (beat: Beat): void => {
    liveness.hear(beat, clock.now().getTime());
    const ready = conditionOf(informers.nodes.get(beat.node)?.status?.conditions, 'Ready');
    if (ready?.status !== 'True') queues.nodes.add(beat.node);
  };
}

/** Wakes the claims and pods that wait for a share, the oldest first. */
function waitingWaker({ informers, queues, wakePods, clock }: WakeUpParts): () => void {
  let gathering = false;
  return () => {
    if (gathering) return;
    gathering = true;
    clock.after(GATHER_MS, () => {
      gathering = false;
      const waiting = informers.claims.list().filter(isWaiting).toSorted(byAge);
      for (const claim of waiting) queues.claims.add(keyText(keyOf(claim)));
      wakePods();
    });
  };
}

function nodeChanged({ informers, queues }: WakeUpParts, node: string, wakeWaiting: () => void): void {
  for (const claim of informers.claims.list()) {
    const isOnIt = claim.status?.allocations?.some((allocation) => allocation.node === node);
    if (isOnIt === true) queues.claims.add(keyText(keyOf(claim)));
  }
  for (const pool of informers.pools.list()) queues.pools.addAfter(pool.metadata.name, SUMMARY_DELAY_MS);
  wakeWaiting();
}

function wakeSummaries({ queues }: WakeUpParts, { before, after }: Change<VGPUClaim>): void {
  for (const claim of [before, after]) {
    if (claim === undefined) continue;
    queues.pools.addAfter(claim.spec.poolName, SUMMARY_DELAY_MS);
    for (const { node } of claim.status?.allocations ?? []) queues.nodes.addAfter(node, SUMMARY_DELAY_MS);
  }
}

/** A claim that went without its release (somebody took the finalizer off): its sessions have no right to live on. */
function closeForGood({ sessions, clock, log }: WakeUpParts, claim: VGPUClaim): void {
  sessions.close(claim.metadata.uid, clock.now()).catch((err: unknown) => {
    log.warn('sessions of a deleted claim not closed', { object: keyText(keyOf(claim)), err });
  });
}

const isGone = (change: Change<VGPUClaim>): change is Change<VGPUClaim> & { before: VGPUClaim } =>
  change.before?.status?.allocations !== undefined && change.before.metadata.uid !== change.after?.metadata.uid;

const isWaiting = ({ metadata, status }: VGPUClaim): boolean =>
  metadata.deletionTimestamp === undefined && status?.allocations === undefined;

const byAge = ({ metadata: a }: VGPUClaim, { metadata: b }: VGPUClaim): number =>
  a.creationTimestamp < b.creationTimestamp ? -1 : a.creationTimestamp > b.creationTimestamp ? 1 : 0;

const changedOutsideStatus = ({ before, after }: Change<GPUPool>): boolean =>
  after !== undefined &&
  (before === undefined ||
    before.metadata.uid !== after.metadata.uid ||
    before.metadata.generation !== after.metadata.generation ||
    !jsonEqual(before.metadata.labels, after.metadata.labels));
