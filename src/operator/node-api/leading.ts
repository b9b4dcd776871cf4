import { randomUUID } from 'node:crypto';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Authority } from '../pki/authority.ts';
import type { TicketLedger } from '../ports.ts';
import type { Lead } from '../replica.ts';
import { ticketIssuer } from '../ticket/issuer.ts';
import type { Closings, Leader } from './ports.ts';

export interface LeadingOptions {
  readonly lead: () => Lead | undefined;
  readonly authority: Authority;
  readonly closings: Closings;
  readonly clock: Clock;
  readonly log: Log;
}

/** What node agents may ask of this replica while it leads. Asked anew for each call: it knows at once when it does not. */
export function leading({ lead, authority, closings, clock, log }: LeadingOptions): () => Leader | undefined {
  const known = new WeakMap<Lead, Leader>();
  const make = ({ operator, leadership }: Lead): Leader => ({
    lost: aborted(leadership.lost),
    closings,
    issuer: ticketIssuer({
      issuer: authority.id,
      key: authority.ticketKey,
      acceptedKeys: authority.ticketKeys,
      epoch: leadership.epoch,
      ledger: nothingUnbound,
      clock,
      claimForTicket: (claim) => operator.claimForTicket(claim),
      newId: randomUUID,
    }),
    report: (node, { session, claim, ended, reason }) => {
      const object = `${claim.namespace}/${claim.name}`;
      log.debug('session reported', { node, session, object, ended, reason });
    },
  });
  return () => {
    const now = lead();
    if (now === undefined || !now.leadership.holds()) return undefined;
    const leader = known.get(now) ?? make(now);
    known.set(now, leader);
    return leader;
  };
}

/** In a cluster every ticket is bound to the key of the connector that asks for it: there is none to be exchanged. */
const nothingUnbound: TicketLedger = { claim: () => Promise.resolve('other') };

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
