import type { TicketRequest, TicketRequestKinds } from '../../api/cluster-kinds.ts';
import type { Kinds } from '../../api/kinds.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { runController, type Pass } from '../../runtime/controller.ts';
import { Informer } from '../../runtime/informer.ts';
import { WorkQueue } from '../../runtime/queue.ts';
import type { Store } from '../../runtime/store.ts';
import { ByClaim } from '../by-claim.ts';
import type { Informers } from '../wake-ups.ts';
import { ticketRequestController, type TicketRequestDeps } from './controller.ts';

/** Where requests for tickets are, and who signs. */
export interface TicketRequests extends Pick<TicketRequestDeps, 'issuer' | 'ca'> {
  readonly store: Store<TicketRequestKinds>;
}

export interface TicketRequestPartOptions {
  readonly requests: TicketRequests;
  readonly store: Store<Kinds>;
  readonly informers: Pick<Informers, 'claims'>;
  /** Resolves when all that is no request has been read. */
  readonly ready: Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly onPass: ((pass: Pass) => void) | undefined;
}

export interface TicketRequestPart {
  readonly informer: Informer<TicketRequestKinds, 'TicketRequest'>;
  readonly queue: WorkQueue;
  /** Resolves when all has ended. */
  run(): Promise<void>;
}

/** The part of the operator that answers requests for tickets. A cluster that does not know them loses nothing else. */
export function ticketRequestPart(options: TicketRequestPartOptions): TicketRequestPart {
  const { requests, store, clock, log, signal, onPass } = options;
  const informer = new Informer<TicketRequestKinds, 'TicketRequest'>({
    store: requests.store,
    kind: 'TicketRequest',
    clock,
    log,
  });
  const queue = new WorkQueue(clock);
  const waiting = new ByClaim(openClaims);
  informer.onChange((change) => {
    waiting.observe(change);
    queue.add(change.key);
  });
  options.informers.claims.onChange(({ key }) => {
    for (const request of waiting.of(key)) queue.add(request);
  });
  const { issuer, ca } = requests;
  const controller = ticketRequestController({ requests: requests.store, claims: store, issuer, ca, clock, log });
  const read = (key: string): TicketRequest | undefined => informer.get(key);
  return {
    informer,
    queue,
    async run() {
      let isReady = false;
      const controlling = Promise.all([informer.synced, options.ready]).then(() => {
        isReady = true;
        return runController(controller, {
          queue,
          read,
          clock,
          log,
          signal,
          ...(onPass === undefined ? {} : { onPass }),
        });
      });
      await informer.run(signal); // Until the signal, by which the passes in work are ended too.
      if (isReady) await controlling;
    },
  };
}

/** The claim that a request waits for, until it is answered. */
const openClaims = ({ metadata, spec, status }: TicketRequest): readonly string[] =>
  status === undefined ? [`${metadata.namespace}/${spec.claimName}`] : [];
