import type { GPUNode, VGPUClaim } from '../api/kinds.ts';
import type { InformerStats } from '../runtime/informer.ts';
import { conditionOf } from './condition.ts';
import { poolAmounts, type PoolAmounts } from './gpu-pool/status.ts';
import type { Inventory } from './inventory.ts';
import type { PodPart } from './pod/start.ts';
import type { TicketRequestPart } from './ticket-request/start.ts';
import type { Informers, Queues } from './wake-ups.ts';

/** Claims of one pool that stand at the same place for the same reason. */
export interface ClaimCount {
  /** Empty where there is no such pool: users may write what they like, and no metric may grow by that. */
  readonly pool: string;
  readonly phase: string;
  readonly reason: string;
  readonly count: number;
}

/** A node with GPUs, as its status says. */
export interface NodeStanding {
  readonly node: string;
  readonly isReady: boolean;
  /** Why it is or is not. */
  readonly reason: string;
}

/** How an operator stands, for metrics. */
export interface OperatorStats {
  readonly pools: ReadonlyMap<string, PoolAmounts>;
  readonly claims: readonly ClaimCount[];
  readonly nodes: readonly NodeStanding[];
  /** By name of the controller. */
  readonly queued: Readonly<Record<string, number>>;
  /** By kind. */
  readonly informers: Readonly<Record<string, InformerStats>>;
}

export interface StatsParts {
  readonly informers: Informers;
  readonly queues: Queues;
  readonly inventory: Inventory;
  readonly pods: Pick<PodPart, 'informer' | 'queue'> | undefined;
  readonly ticketRequests: Pick<TicketRequestPart, 'informer' | 'queue'> | undefined;
}

export function statsOf({ informers, queues, inventory, pods, ticketRequests }: StatsParts): OperatorStats {
  const snapshot = inventory.snapshot();
  const amounts = [...snapshot.pools].map(([name, entry]): [string, PoolAmounts] => [
    name,
    poolAmounts(entry, snapshot, inventory.promisedIn(name)),
  ]);
  return {
    pools: new Map(amounts),
    claims: countClaims(informers.claims.list(), (pool) => snapshot.pools.has(pool)),
    nodes: informers.nodes.list().map(standingOf),
    queued: {
      vgpuclaim: queues.claims.depth,
      gpunode: queues.nodes.depth,
      gpupool: queues.pools.depth,
      ...(pods === undefined ? {} : { pod: pods.queue.depth }),
      ...(ticketRequests === undefined ? {} : { ticketrequest: ticketRequests.queue.depth }),
    },
    informers: {
      VGPUClaim: informers.claims.stats,
      GPUNode: informers.nodes.stats,
      GPUPool: informers.pools.stats,
      ...(pods === undefined ? {} : { Pod: pods.informer.stats }),
      ...(ticketRequests === undefined ? {} : { TicketRequest: ticketRequests.informer.stats }),
    },
  };
}

function standingOf({ metadata, status }: GPUNode): NodeStanding {
  const ready = conditionOf(status?.conditions, 'Ready');
  return { node: metadata.name, isReady: ready?.status === 'True', reason: ready?.reason ?? '' };
}

function countClaims(claims: readonly VGPUClaim[], isPool: (name: string) => boolean): readonly ClaimCount[] {
  const counts = new Map<string, ClaimCount>();
  for (const { spec, status } of claims) {
    const pool = isPool(spec.poolName) ? spec.poolName : '';
    const phase = status?.phase ?? 'Pending';
    const reason = conditionOf(status?.conditions, 'Bound')?.reason ?? '';
    const place = `${pool}/${phase}/${reason}`;
    counts.set(place, { pool, phase, reason, count: (counts.get(place)?.count ?? 0) + 1 });
  }
  return [...counts.values()];
}
