import type { TicketRequestKinds } from '../api/cluster-kinds.ts';
import type { Kinds } from '../api/kinds.ts';
import type { PodKinds } from '../api/pod.ts';
import { fencedStore } from '../runtime/fenced-store.ts';
import { campaign, type Leadership, type LeaseStore } from '../runtime/leadership.ts';
import type { TicketRequests } from './ticket-request/start.ts';
import { startOperator, type Operator, type OperatorOptions } from './operator.ts';

export interface ReplicaOptions extends OperatorOptions {
  readonly lease: LeaseStore;
  /** Tells this process from all others, also from an earlier one of the same pod. */
  readonly identity: string;
  readonly leaseDurationMs: number;
}

/** What a replica has while it leads. */
export interface Lead {
  readonly operator: Operator;
  readonly leadership: Pick<Leadership, 'epoch' | 'holds' | 'lost'>;
}

export interface Replica {
  /** Undefined while it stands by. */
  lead(): Lead | undefined;
  /** Resolves once the signal has ended all. */
  readonly ended: Promise<void>;
}

/**
 * One of several operators over one store: whichever has the Lease runs the reconcilers, with an account of its own that
 * it reads anew each time. One that loses the Lease ends what is in work, and stands by again.
 */
export function startReplica(options: ReplicaOptions, signal: AbortSignal): Replica {
  let lead: Lead | undefined;
  const { store, pods, ticketRequests, lease, identity, clock, log, leaseDurationMs: durationMs } = options;
  const times = { durationMs, deadlineMs: (durationMs * 2) / 3, retryMs: (durationMs * 2) / 15 };

  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      const leadership = await campaign({ lease, identity, clock, log, ...times }, signal);
      if (leadership === undefined) return;
      const { holds } = leadership;
      const operator = startOperator({
        ...options,
        store: fencedStore<Kinds>(store, holds),
        ...(pods === undefined ? {} : { pods: fencedStore<PodKinds>(pods, holds) }),
        ...(ticketRequests === undefined ? {} : { ticketRequests: fencedRequests(ticketRequests, holds) }),
      });
      lead = { operator, leadership };
      await aborted(AbortSignal.any([signal, leadership.lost]));
      lead = undefined;
      await operator.stop();
      await leadership.release();
    }
  };
  return { lead: () => lead, ended: run() };
}

const fencedRequests = (requests: TicketRequests, holds: () => boolean): TicketRequests => ({
  ...requests,
  store: fencedStore<TicketRequestKinds>(requests.store, holds),
});

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
