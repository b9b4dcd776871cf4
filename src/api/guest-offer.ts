import { z } from 'zod';
import { ticketFileSchema } from './ticket-file.ts';

/** A process for as long as it lives, as the kernel tells them apart. */
const processIdentity = z.strictObject({ pid: z.int().min(1), startTime: z.int().min(0) });

/** By what a guest is told from others when it asks over vsock: the kernel's context id, or the process that is its vsock device. */
const guestChannel = z.union([z.strictObject({ cid: z.int().min(3) }), z.strictObject({ process: processIdentity })]);

/** A ticket that a guest may ask its host for, once: a file of the guest's folder that `aquifer guest attach` writes. */
export const guestOfferSchema = z.strictObject({
  namespace: z.string(),
  claim: z.string(),
  channel: guestChannel,
  /** Where the guest reaches the gateway. */
  endpoints: ticketFileSchema.shape.endpoints,
  /** RFC 3339. */
  until: z.iso.datetime(),
});
export type GuestOffer = Readonly<z.infer<typeof guestOfferSchema>>;

/** Which key has taken it: a file beside it, which `aquifer serve` writes once. */
export const offerTakenSchema = z.strictObject({ key: z.string(), at: z.iso.datetime() });
export type OfferTaken = Readonly<z.infer<typeof offerTakenSchema>>;

/** The folders of guests in a data directory, and the two files in each. */
export const GUESTS_FOLDER = 'guests';
export const OFFER_FILE = 'offer.json';
export const TAKEN_FILE = 'taken.json';

/** Who asks, as the gateway tells: the kernel's vsock also says from which port. */
export const guestOriginSchema = z.union([
  z.object({ cid: z.int().min(0).max(0xffff_ffff), port: z.int().min(0).max(0xffff_ffff) }),
  z.object({ process: z.object({ pid: z.int().min(1), startTime: z.int().min(0) }) }),
]);
export type GuestOrigin = Readonly<z.infer<typeof guestOriginSchema>>;
