import type { GuestOffer, GuestOrigin, OfferTaken } from '../api/guest-offer.ts';
import { err, ok, type Result } from '../lib/result.ts';

/** Ports below it are had by privileged processes of the guest alone. */
const FIRST_UNRESERVED_PORT = 1024;

/** An offer as it is found. */
export interface FoundOffer {
  /** The guest's folder. */
  readonly folder: string;
  readonly offer: GuestOffer;
  readonly taken: OfferTaken | undefined;
}

export interface OfferRefusal {
  readonly reason: 'NotOffered' | 'PortNotReserved' | 'OfferTaken' | 'OfferExpired';
  readonly message: string;
}

/** Which offer is meant for who asks with this key; why none is. */
export function judge(
  offers: readonly FoundOffer[],
  { from, key, now }: { readonly from: GuestOrigin; readonly key: string; readonly now: Date },
): Result<FoundOffer, OfferRefusal> {
  const [found, another] = offers.filter(({ offer }) => isFrom(offer.channel, from));
  if (found === undefined)
    return refuse('NotOffered', 'nothing is offered to this guest: aquifer guest attach DOMAIN --claim NAME --offer');
  if (another !== undefined)
    return refuse('NotOffered', 'two guests have the same channel: it cannot be told which asks');
  if ('port' in from && from.port >= FIRST_UNRESERVED_PORT)
    return refuse('PortNotReserved', 'only root of the guest may ask: the question must come from a port below 1024');
  const { taken, offer } = found;
  if (taken !== undefined && taken.key !== key) return refuse('OfferTaken', takenBy(taken));
  if (now > new Date(offer.until))
    return refuse(
      'OfferExpired',
      'the time to ask for it is over: aquifer guest attach DOMAIN --claim NAME --offer again',
    );
  return ok(found);
}

const takenBy = ({ key }: OfferTaken): string =>
  `the ticket was taken by another key, ${key}: if that was none of yours make another claim, then detach and attach again`;

const refuse = (reason: OfferRefusal['reason'], message: string): Result<never, OfferRefusal> =>
  err({ reason, message });

function isFrom(channel: GuestOffer['channel'], from: GuestOrigin): boolean {
  if ('cid' in channel) return 'cid' in from && channel.cid === from.cid;
  const { pid, startTime } = channel.process;
  return 'process' in from && from.process.pid === pid && from.process.startTime === startTime;
}
