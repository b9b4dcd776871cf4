import type { TicketRequest, TicketRequestKinds } from '../../api/cluster-kinds.ts';
import type { Kinds } from '../../api/kinds.ts';
import { ISSUED } from '../../api/ticket-request.ts';
import { assertNever } from '../../lib/assert-never.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { done, retryAfter, type Controller, type Outcome } from '../../runtime/controller.ts';
import { isStoreError, keyOf, keyText, type Store } from '../../runtime/store.ts';
import { conditionOf } from '../condition.ts';
import type { TicketIssuer } from '../ticket/issuer.ts';
import { claimOf, decide, type TicketRequestStatus } from './decide.ts';

const NEWS_MS = 1000; // A claim that is there already, and not known to us, is on its way.
const RECHECK_MS = 30_000; // A change of the claim wakes us sooner; this covers a leader that may not sign yet.

export interface TicketRequestDeps {
  readonly requests: Pick<Store<TicketRequestKinds>, 'patch' | 'delete'>;
  readonly claims: Pick<Store<Kinds>, 'get'>;
  /** Undefined while this replica may not sign. */
  readonly issuer: () => Pick<TicketIssuer, 'sign'> | undefined;
  readonly ca: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Answers requests for tickets, each once, and removes those that were answered a while ago. */
export function ticketRequestController(deps: TicketRequestDeps): Controller<TicketRequest> {
  return {
    name: 'ticketrequest',
    concurrency: 4,

    async reconcile(request) {
      const { clock, ca } = deps;
      const issuer = deps.issuer();
      const sign = issuer && ((wish: Parameters<TicketIssuer['sign']>[0]) => issuer.sign(wish));
      const decision = decide(request, { now: clock.now(), ca, sign });
      switch (decision.kind) {
        case 'Rest':
          return done;
        case 'Wait':
          return retryAfter(issuer === undefined ? NEWS_MS : RECHECK_MS);
        case 'LookUp':
          return (await exists(deps, request)) ? retryAfter(NEWS_MS) : answer(deps, request, decision.refused);
        case 'Answer':
          return answer(deps, request, decision.status);
        case 'Keep':
          return retryAfter(decision.forMs);
        case 'Remove':
          return remove(deps, request);
        default:
          return assertNever(decision);
      }
    },
  };
}

/** Requests and claims come to us on two ways: one may be behind the other. */
async function exists({ claims }: TicketRequestDeps, request: TicketRequest): Promise<boolean> {
  const { uid, ...key } = claimOf(request);
  const claim = await claims.get('VGPUClaim', key);
  return claim !== undefined && (uid === undefined || claim.metadata.uid === uid);
}

/** Written under the version that was read: of two leaders that sign, one is too late, and its ticket is thrown away. */
async function answer(
  { requests, log }: TicketRequestDeps,
  request: TicketRequest,
  status: TicketRequestStatus,
): Promise<Outcome> {
  const { resourceVersion } = request.metadata;
  try {
    await requests.patch('TicketRequest', keyOf(request), { status }, { subresource: 'status', resourceVersion });
  } catch (error) {
    if (isStoreError(error, 'NotFound')) return done;
    throw error;
  }
  const { reason = '' } = conditionOf(status.conditions, ISSUED) ?? {};
  const { claimName: claim, holderKey } = request.spec;
  log.info('ticket request answered', { object: keyText(keyOf(request)), claim, holderKey, reason });
  return done;
}

async function remove({ requests }: TicketRequestDeps, request: TicketRequest): Promise<Outcome> {
  try {
    await requests.delete('TicketRequest', keyOf(request), { uid: request.metadata.uid });
  } catch (error) {
    if (!isStoreError(error, 'NotFound') && !isStoreError(error, 'Conflict')) throw error;
  }
  return done;
}
