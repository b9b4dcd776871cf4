import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { failure } from '../api/status.ts';
import type { TicketFile } from '../api/ticket-file.ts';
import { API_VERSION } from '../api/meta.ts';
import type { Authority } from '../backend/ports.ts';
import { Refused } from '../ipc/json-lines.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Result } from '../lib/result.ts';
import type { Operator } from '../operator/operator.ts';
import { openAuthority } from '../operator/pki/authority.ts';
import { directoryKeys } from '../operator/pki/key-store.ts';
import { ExchangeLedger } from '../operator/pki/exchange-ledger.ts';
import { ticketIssuer, type Ticket, type TicketRefusal, type TicketWish } from '../operator/ticket/issuer.ts';
import { ApiFailure } from './api-failure.ts';
import { guestOffers } from './guest-offers.ts';

/**
 * The epoch fences off a leader that was replaced. The database of one host has one user at a time, which its lock sees
 * to: nobody is ever replaced, and a restart of serve must not void the tickets that other hosts hold.
 */
const EPOCH = 1;

export interface PoolAuthorityOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly node: string;
  readonly operator: () => Pick<Operator, 'claimForTicket'>;
  /** The folders of guests, with what they are offered. */
  readonly guests: string;
  readonly log: Log;
}

/** Signs what the pool promises. */
export interface PoolAuthority extends Disposable {
  /** For the gateway, by way of the backend. */
  readonly gateway: Authority;
  /** A ticket as a file. @throws ApiFailure with the reason why there is none. */
  issue(wish: TicketWish, addresses: readonly string[]): TicketFile;
}

export async function openPoolAuthority(options: PoolAuthorityOptions): Promise<PoolAuthority> {
  const { directory, clock, node, operator, guests, log } = options;
  const authority = await openAuthority({ keys: directoryKeys(directory), clock });
  const ledger = new ExchangeLedger(join(directory, 'exchanges'), clock);
  const claimForTicket: Operator['claimForTicket'] = (claim) => operator().claimForTicket(claim);
  const issuer = ticketIssuer({
    issuer: authority.id,
    key: authority.ticketKey,
    acceptedKeys: authority.ticketKeys,
    epoch: EPOCH,
    ledger,
    clock,
    claimForTicket,
    newId: randomUUID,
  });

  const obtain = guestOffers({
    directory: guests,
    clock,
    log,
    issue: ({ namespace, claim, endpoints }, holderKey) => {
      const signed = granted(issuer.sign({ claim: { namespace, name: claim }, holderKey }));
      return ticketFile(signed, authority.caPem, endpoints);
    },
  });

  return {
    gateway: {
      async enrol(csrPem) {
        const certificatePem = granted(await authority.signServer(csrPem, node));
        return { certificatePem, caPem: authority.caPem, ticketKeys: authority.ticketKeys, epoch: EPOCH };
      },
      renew: async (ticket, holderKey) => granted(await issuer.renew(ticket, holderKey)).text,
      obtain: async (from, holderKey) => obtain(from, holderKey),
      isBound: (claim) => Promise.resolve(claimForTicket(claim).ok),
    },
    issue(wish, addresses) {
      const signed = issuer.sign(wish);
      if (!signed.ok) throw ticketFailure(signed.error);
      const endpoints = addresses.map((address) => ({ node, address }));
      return ticketFile(signed.value, authority.caPem, endpoints);
    },
    [Symbol.dispose]: () => ledger[Symbol.dispose](),
  };
}

/** The value, or an exception that the gateway is answered with. */
function granted<T>(result: Result<T, { readonly reason: string; readonly message: string }>): T {
  if (!result.ok) throw new Refused(result.error.reason, result.error.message);
  return result.value;
}

function ticketFailure({ reason, message }: TicketRefusal): ApiFailure {
  if (reason === 'ClaimNotFound') return new ApiFailure(failure(404, 'NotFound', message));
  if (reason === 'OperatorStarting') return new ApiFailure(failure(503, 'ServiceUnavailable', message));
  if (reason === 'ClaimNotBound' || reason === 'ClaimIsLocal') return new ApiFailure(failure(409, reason, message));
  return new ApiFailure(failure(400, 'BadRequest', message));
}

function ticketFile({ text, claim }: Ticket, ca: string, endpoints: TicketFile['endpoints']): TicketFile {
  const { name, namespace = '' } = claim.metadata;
  const metadata = { name, namespace };
  return { apiVersion: API_VERSION, kind: 'Ticket', metadata, ca, endpoints, ticket: text };
}
