import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  guestOfferSchema,
  OFFER_FILE,
  offerTakenSchema,
  TAKEN_FILE,
  type GuestOffer,
  type GuestOrigin,
} from '../api/guest-offer.ts';
import type { TicketFile } from '../api/ticket-file.ts';
import { Refused } from '../ipc/json-lines.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { writeDurably } from '../operator/pki/durable-file.ts';
import { judge, type FoundOffer } from './offer-judgement.ts';

export interface GuestOffersDeps {
  /** With a folder for each guest, in which `aquifer guest attach` leaves its offer. */
  readonly directory: string;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  /** A ticket bound to the key. @throws Refused if the claim has no vGPUs. */
  readonly issue: (offer: GuestOffer, holderKey: string) => TicketFile;
}

/** Gives a guest the ticket that it is offered: to one key, and to that one again. @throws Refused */
export function guestOffers(deps: GuestOffersDeps): (from: GuestOrigin, key: string) => TicketFile {
  const { directory, clock, log, issue } = deps;
  return (from, key) => {
    const now = clock.now();
    // No await from here to the end: that is what makes the first key the only one.
    const decision = judge(offersIn(directory, log), { from, key, now });
    if (!decision.ok) {
      // Whoever is in a guest may ask as often as he likes: that is not to fill our log.
      log.debug('no ticket for a guest', { reason: decision.error.reason, key, from });
      throw new Refused(decision.error.reason, decision.error.message);
    }
    const { folder, offer, taken } = decision.value;
    const ticket = issue(offer, key);
    if (taken === undefined) {
      writeDurably(join(folder, TAKEN_FILE), JSON.stringify({ key, at: now.toISOString() }));
      log.info('a guest has taken its ticket', { object: `${offer.namespace}/${offer.claim}`, key });
    }
    return ticket;
  };
}

/** One that cannot be read is none: nobody gets a ticket by it. */
function offersIn(directory: string, log: Log): readonly FoundOffer[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).flatMap((name) => {
    const folder = join(directory, name);
    try {
      const offer = read(join(folder, OFFER_FILE));
      if (offer === undefined) return [];
      const taken = read(join(folder, TAKEN_FILE));
      return [
        {
          folder,
          offer: guestOfferSchema.parse(offer),
          taken: taken === undefined ? undefined : offerTakenSchema.parse(taken),
        },
      ];
    } catch (err) {
      log.warn('an offer cannot be read', { folder, err });
      return [];
    }
  });
}

const read = (file: string): unknown => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined);
