import type { Kinds, VGPUClaim } from '../api/kinds.ts';
import type { PodKinds } from '../api/pod.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Result } from '../lib/result.ts';
import { runController, type Controller, type Pass } from '../runtime/controller.ts';
import { Informer } from '../runtime/informer.ts';
import type { Heartbeats } from '../runtime/heartbeats.ts';
import { WorkQueue } from '../runtime/queue.ts';
import { keyOf, type ApiObject, type Key, type Kind, type MergePatch, type Store } from '../runtime/store.ts';
import { eventRecorder, type EventSink } from '../runtime/event-recorder.ts';
import { bindLatency } from './bind-latency.ts';
import { nodeController } from './gpu-node/controller.ts';
import { Liveness } from './gpu-node/liveness.ts';
import { ClaimCounts } from './gpu-pool/claim-counts.ts';
import { poolController } from './gpu-pool/controller.ts';
import { Inventory } from './inventory.ts';
import type { SessionControl } from './ports.ts';
import { podPart } from './pod/start.ts';
import { statsOf, type OperatorStats } from './stats.ts';
import { statusPatch } from './status-patch.ts';
import { ticketRequestPart, type TicketRequests } from './ticket-request/start.ts';
import { claimForTicket, type ClaimRefusal } from './ticket/claim-gate.ts';
import { claimController } from './vgpu-claim/controller.ts';
import { claimWrites } from './vgpu-claim/writes.ts';
import { heartbeatListener, wireWakeUps, type Informers, type Queues } from './wake-ups.ts';

export interface OperatorOptions {
  readonly store: Store<Kinds>;
  readonly sessions: SessionControl;
  readonly heartbeats: Heartbeats;
  /** Where there are pods: those that ask for vGPUs. */
  readonly pods?: Store<PodKinds>;
  /** Where tickets are asked for by objects. */
  readonly ticketRequests?: TicketRequests;
  readonly clock: Clock;
  readonly log: Log;
  /** A node that has not reported for so long is lost, and the claims on it with it. @default 30_000 */
  readonly agentGraceMs?: number;
  /** So long a deleted claim waits for its sessions to end before its share is given back all the same. @default 30_000 */
  readonly releaseTimeoutMs?: number;
  readonly onPass?: (pass: Pass) => void;
  /** A claim was bound, so long after it was first seen. */
  readonly onBound?: (waitedMs: number) => void;
}

export interface Operator {
  /** Resolves when all objects have been read: only then anything is decided. */
  readonly ready: Promise<void>;
  /** The claim, if a ticket may be signed for it now. `uid` guards against another claim of the same name. */
  claimForTicket(claim: Key & { readonly uid?: string }): Result<VGPUClaim, ClaimRefusal>;
  stats(): OperatorStats;
  /** The nodes that have a vGPU of the claim, or are about to. */
  nodesOf(claimUid: string): readonly string[];
  /** Ends what is in work and begins nothing new. */
  stop(): Promise<void>;
}

const DEFAULT_MS = 30_000;

/** Starts the reconcilers of all kinds over one store. One operator at a time may run over a store. */
export function startOperator(options: OperatorOptions): Operator {
  const { store, clock, log } = options;
  const abort = new AbortController();
  const inventory = new Inventory();
  const liveness = new Liveness();
  const informers: Informers = {
    pools: new Informer({ store, kind: 'GPUPool', clock, log }),
    nodes: new Informer({ store, kind: 'GPUNode', clock, log }),
    claims: new Informer({ store, kind: 'VGPUClaim', clock, log }),
  };
  const queues: Queues = { pools: new WorkQueue(clock), nodes: new WorkQueue(clock), claims: new WorkQueue(clock) };
  if (options.onBound !== undefined) informers.claims.onChange(bindLatency(clock, options.onBound));
  const events = eventRecorder({ store, clock, log });
  const { signal } = abort;
  const counts = new ClaimCounts();
  informers.claims.onChange((change) => counts.observe(change));

  const ready = Promise.all(Object.values(informers).map((informer) => informer.synced)).then(() => undefined);
  const partOptions = { store, informers, ready, clock, log, signal, onPass: options.onPass };
  const pods =
    options.pods === undefined ? undefined : podPart({ pods: options.pods, inventory, events, ...partOptions });
  const { ticketRequests: requests } = options;
  const ticketRequests = requests === undefined ? undefined : ticketRequestPart({ requests, ...partOptions });
  const wakePods = (): void => pods?.wakeWaiting();
  wireWakeUps({ informers, queues, inventory, liveness, sessions: options.sessions, wakePods, clock, log });

  const following = Object.values(informers).map((informer) => informer.run(signal));
  for (const part of [pods, ticketRequests]) if (part !== undefined) following.push(part.run());
  following.push(options.heartbeats.follow(heartbeatListener({ informers, liveness, queues, clock, log }), signal));
  const controlling = ready.then(() =>
    runAll({ options, informers, queues, inventory, liveness, counts, events, signal }),
  );
  let isReady = false;
  void ready.then(() => (isReady = true));
  return {
    ready,
    claimForTicket: (claim) =>
      claimForTicket(claim, { claims: informers.claims, inventory, ready: isReady && !abort.signal.aborted }),
    nodesOf: (claimUid) => inventory.nodesOf(claimUid),
    stats: () => statsOf({ informers, queues, inventory, pods, ticketRequests }),
    async stop() {
      abort.abort();
      await Promise.all([...following, ...(isReady ? [controlling] : [])]);
    },
  };
}

interface Parts {
  readonly options: OperatorOptions;
  readonly informers: Informers;
  readonly queues: Queues;
  readonly inventory: Inventory;
  readonly liveness: Liveness;
  readonly counts: ClaimCounts;
  readonly events: EventSink;
  readonly signal: AbortSignal;
}

/** Each kind has one controller; they meet only in the objects. */
async function runAll({
  options,
  informers,
  queues,
  inventory,
  liveness,
  counts,
  events,
  signal,
}: Parts): Promise<void> {
  const { store, sessions, clock, log, onPass } = options;
  const { agentGraceMs: graceMs = DEFAULT_MS, releaseTimeoutMs = DEFAULT_MS } = options;
  const run = <T>(controller: Controller<T>, queue: WorkQueue, read: (key: string) => T | undefined): Promise<void> =>
    runController(controller, { queue, read, clock, log, signal, ...(onPass === undefined ? {} : { onPass }) });

  const claims = claimController({ claims: claimWrites(store), inventory, sessions, events, clock, releaseTimeoutMs });
  const nodes = nodeController({ nodes: statusWrites(store, 'GPUNode'), inventory, liveness, events, clock, graceMs });
  const claimsOn = (pool: string) => counts.of(pool);
  const pools = poolController({ pools: statusWrites(store, 'GPUPool'), inventory, claimsOn, events, clock });
  await Promise.all([
    run(claims, queues.claims, (key) => informers.claims.get(key)),
    run(nodes, queues.nodes, (key) => informers.nodes.get(key)),
    run(pools, queues.pools, (key) => informers.pools.get(key)),
  ]);
}

interface WithStatus extends ApiObject {
  readonly status?: Readonly<Record<string, unknown>>;
}

/** Status writes for kinds whose fields have one writer each: they need no version. */
function statusWrites<K extends Kind<Kinds>>(store: Pick<Store<Kinds>, 'patch'>, kind: K) {
  return {
    async patchStatus(object: WithStatus, status: Readonly<Record<string, unknown>>): Promise<boolean> {
      const patch: MergePatch | undefined = statusPatch(object.status, status);
      if (patch !== undefined) await store.patch(kind, keyOf(object), patch, { subresource: 'status' });
      return patch !== undefined;
    },
  };
}
