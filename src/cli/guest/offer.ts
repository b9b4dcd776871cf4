import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  guestOfferSchema,
  OFFER_FILE,
  offerTakenSchema,
  TAKEN_FILE,
  type GuestOffer,
  type OfferTaken,
} from '../../api/guest-offer.ts';
import type { TicketFile } from '../../api/ticket-file.ts';
import { CommandError } from '../failure.ts';
import type { Attachment } from './attachment.ts';

/** How long a guest may ask for its ticket, where it is not said. */
export const OFFER_SECONDS = 600;

export interface OfferTerms {
  readonly endpoints: TicketFile['endpoints'];
  readonly seconds: number;
  readonly now: Date;
}

/** Offers a guest its ticket over its vsock. Again, only what has run out and was not taken is offered for longer. */
export function offer(attachment: Attachment, folder: string, { endpoints, seconds, now }: OfferTerms): void {
  const { namespace, claim, cid, process } = attachment;
  const channel = cid === undefined ? process && { process } : { cid };
  if (channel === undefined) throw new CommandError(`domain ${attachment.domain} has no vsock to be told by`);
  const before = offerIn(folder);
  const runsOn = before !== undefined && (before.taken !== undefined || new Date(before.offer.until) > now);
  const until = runsOn ? before.offer.until : new Date(now.getTime() + seconds * 1000).toISOString();
  const made: GuestOffer = { namespace, claim, channel, endpoints: [...endpoints], until };
  const file = join(folder, OFFER_FILE);
  writeFileSync(`${file}.new`, `${JSON.stringify(made, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** How a guest gets its ticket, for a listing. */
export function ticketState({ offered }: Attachment, folder: string, now: Date): string {
  if (!offered) return 'Disk';
  const found = offerIn(folder);
  if (found?.taken !== undefined) return `Taken by ${found.taken.key}`;
  return found !== undefined && new Date(found.offer.until) > now ? 'Offered' : 'Expired';
}

/** What is offered, and which key has taken it. */
function offerIn(folder: string): { readonly offer: GuestOffer; readonly taken: OfferTaken | undefined } | undefined {
  const found = read(join(folder, OFFER_FILE));
  if (found === undefined) return undefined;
  const taken = read(join(folder, TAKEN_FILE));
  const parsed = guestOfferSchema.safeParse(found);
  if (!parsed.success) throw new CommandError(`${folder}/${OFFER_FILE} is not what aquifer wrote: detach the guest`);
  return { offer: parsed.data, taken: taken === undefined ? undefined : offerTakenSchema.parse(taken) };
}

const read = (file: string): unknown => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined);
