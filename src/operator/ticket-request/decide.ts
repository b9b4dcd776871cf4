import type { TicketRequest } from '../../api/cluster-kinds.ts';
import { ISSUED } from '../../api/ticket-request.ts';
import type { Result } from '../../lib/result.ts';
import { conditionOf } from '../condition.ts';
import type { Ticket, TicketRefusal, TicketWish } from '../ticket/issuer.ts';

export type TicketRequestStatus = NonNullable<TicketRequest['status']>;

export type Decision =
  | { readonly kind: 'Rest' }
  /** Nobody may sign yet, or the claim has no vGPUs yet: it is looked at again when the claim changes. */
  | { readonly kind: 'Wait' }
  /** No claim of that name is known here; the answer is due if the API server does not know it either. */
  | { readonly kind: 'LookUp'; readonly refused: TicketRequestStatus }
  | { readonly kind: 'Answer'; readonly status: TicketRequestStatus }
  /** It was answered; it may stay for so much longer. */
  | { readonly kind: 'Keep'; readonly forMs: number }
  | { readonly kind: 'Remove' };

export interface World {
  readonly now: Date;
  /** The certificate of the pool's CA, PEM. */
  readonly ca: string;
  /** Signs; undefined while nobody may. */
  readonly sign: ((wish: TicketWish) => Result<Ticket, TicketRefusal>) | undefined;
}

/** So long an answer may be read. Whoever asked is waiting for it, and a new request costs nothing. */
const KEPT_MS = 600_000;

/** What becomes of a request: one answer, never changed, and removed after a while. */
export function decide(request: TicketRequest, world: World): Decision {
  if (request.metadata.deletionTimestamp !== undefined) return { kind: 'Rest' };
  return request.status === undefined ? answerTo(request, world) : fate(request, world.now);
}

function answerTo(request: TicketRequest, { now, ca, sign }: World): Decision {
  if (sign === undefined) return { kind: 'Wait' };
  const { holderKey, expirationSeconds: lifetimeSeconds } = request.spec;
  const signed = sign({ claim: claimOf(request), holderKey, lifetimeSeconds });
  if (signed.ok) return { kind: 'Answer', status: issued(request, signed.value, ca, now) };
  const { reason } = signed.error;
  if (reason === 'OperatorStarting' || reason === 'ClaimNotBound') return { kind: 'Wait' };
  const refused = answer(request, 'False', signed.error, now);
  return reason === 'ClaimNotFound' ? { kind: 'LookUp', refused } : { kind: 'Answer', status: refused };
}

function fate({ metadata, status }: TicketRequest, now: Date): Decision {
  const answered = conditionOf(status?.conditions, ISSUED)?.lastTransitionTime ?? metadata.creationTimestamp;
  const forMs = Date.parse(answered) + KEPT_MS - now.getTime();
  return forMs > 0 ? { kind: 'Keep', forMs } : { kind: 'Remove' };
}

/** The claim that is meant: of that name, and that very one where the request belongs to it. */
export function claimOf({ metadata, spec }: TicketRequest): TicketWish['claim'] {
  const { namespace, ownerReferences = [] } = metadata;
  const owner = ownerReferences.find(({ kind, name }) => kind === 'VGPUClaim' && name === spec.claimName);
  return { namespace, name: spec.claimName, ...(owner === undefined ? {} : { uid: owner.uid }) };
}

function issued(request: TicketRequest, { text, claim }: Ticket, ca: string, now: Date): TicketRequestStatus {
  const addresses = new Map((claim.status?.allocations ?? []).map(({ node, endpoint }) => [node, endpoint]));
  const message = `a ticket for claim ${request.spec.claimName}, bound to the key ${request.spec.holderKey}`;
  return {
    ticket: text,
    ca,
    endpoints: [...addresses].flatMap(([node, address]) => (address === undefined ? [] : [{ node, address }])),
    ...answer(request, 'True', { reason: 'Issued', message }, now),
  };
}

const answer = (
  { metadata }: TicketRequest,
  status: 'True' | 'False',
  { reason, message }: { readonly reason: string; readonly message: string },
  now: Date,
): TicketRequestStatus => {
  const about = { observedGeneration: metadata.generation, lastTransitionTime: now.toISOString() };
  return { conditions: [{ type: ISSUED, status, reason, message, ...about }] };
};
