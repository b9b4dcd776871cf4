import { createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import type { z } from 'zod';
import {
  MAX_TICKET_LENGTH,
  ticketHeaderSchema,
  ticketPayloadSchema,
  TICKET_TYPE,
  type TicketPayload,
} from '../../api/ticket.ts';
import { err, ok, type Result } from '../../lib/result.ts';

/**
 * Tickets are JWS in compact serialisation (RFC 7515) with Ed25519 (RFC 8037). One algorithm and one form: `node:crypto`
 * does all of it, and there is no header that could talk the verifier into another.
 */
export interface SigningKey {
  /** Names the key in headers: what a verifier looks it up by. */
  readonly kid: string;
  readonly privateKey: KeyObject;
}

export interface VerifyingKey {
  readonly kid: string;
  /** base64url of the 32 bytes. */
  readonly x: string;
}

export interface JwsRefusal {
  readonly reason: 'TicketMalformed' | 'TicketForged' | 'TicketExpired' | 'TicketNotYetValid';
  readonly message: string;
}

/** Clocks of two hosts may differ by so much. */
export const LEEWAY_SECONDS = 30;

export function signTicket(payload: TicketPayload, { kid, privateKey }: SigningKey): string {
  const signed = `${encode({ alg: 'EdDSA', typ: TICKET_TYPE, kid })}.${encode(payload)}`;
  return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`;
}

/** Checks form, signature and times of a text that anyone may have written. Whose it is remains to be asked. */
export function verifyTicket(
  text: string,
  keys: readonly VerifyingKey[],
  nowSeconds: number,
): Result<TicketPayload, JwsRefusal> {
  const parts = split(text);
  if (parts === undefined) return malformed(`must have three parts and at most ${MAX_TICKET_LENGTH} characters`);
  const header = decode(parts.header, ticketHeaderSchema);
  if (header === undefined) return malformed(`header must have alg EdDSA, typ ${TICKET_TYPE} and a kid`);
  const key = keys.find(({ kid }) => kid === header.kid);
  if (key === undefined) return forged('it is signed with a key that this pool does not have');
  const signature = strictBytes(parts.signature);
  const signed = Buffer.from(`${parts.header}.${parts.payload}`);
  if (signature === undefined || !verify(null, signed, publicKeyOf(key.x), signature)) {
    return forged("its signature is not the pool's");
  }
  const payload = decode(parts.payload, ticketPayloadSchema);
  return payload === undefined ? malformed('payload is not that of a ticket') : checkTimes(payload, nowSeconds);
}

function split(text: string): { header: string; payload: string; signature: string } | undefined {
  if (text.length > MAX_TICKET_LENGTH) return undefined;
  const [header, payload, signature, ...more] = text.split('.');
  if (header === undefined || payload === undefined || signature === undefined || more.length > 0) return undefined;
  return { header, payload, signature };
}

const publicKeyOf = (x: string): KeyObject =>
  createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });

function checkTimes(payload: TicketPayload, nowSeconds: number): Result<TicketPayload, JwsRefusal> {
  const expiredFor = nowSeconds - payload.exp;
  if (expiredFor > LEEWAY_SECONDS)
    return err({ reason: 'TicketExpired', message: `the ticket expired ${expiredFor} s ago` });
  const ahead = payload.nbf - nowSeconds;
  if (ahead > LEEWAY_SECONDS) {
    const message = `the ticket is valid only in ${ahead} s; are the clocks of both hosts right?`;
    return err({ reason: 'TicketNotYetValid', message });
  }
  return ok(payload);
}

const malformed = (what: string): Result<never, JwsRefusal> =>
  err({ reason: 'TicketMalformed', message: `the ticket is not well-formed: ${what}` });

const forged = (why: string): Result<never, JwsRefusal> =>
  err({ reason: 'TicketForged', message: `the ticket is not good: ${why}` });

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function decode<T extends z.ZodType>(part: string, schema: T): z.output<T> | undefined {
  const bytes = strictBytes(part);
  if (bytes === undefined) return undefined;
  try {
    const parsed = schema.safeParse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined; // Neither UTF-8 nor JSON: the peer's fault, not ours.
  }
}

/** Node decodes what is nearly base64url as well; then one ticket would have many spellings. */
function strictBytes(part: string): Buffer | undefined {
  const bytes = Buffer.from(part, 'base64url');
  return bytes.toString('base64url') === part ? bytes : undefined;
}
