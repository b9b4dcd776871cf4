import { z } from 'zod';
import type { DeepReadonly } from './meta.ts';
import { MAX_GRACE_SECONDS, MAX_SHARES, MAX_VGPUS } from './vgpu-claim.ts';

/** `typ` of a ticket's header: no other kind of signed document can be taken for one. */
export const TICKET_TYPE = 'aquifer-ticket+jwt';

/** A longer text is no ticket: one of 16 vGPUs has some 3 KiB. */
export const MAX_TICKET_LENGTH = 16_384;

export const DEFAULT_TICKET_SECONDS = 600; // Renewed at half-life; so long a withdrawn claim's ticket may still be shown.
export const MAX_TICKET_SECONDS = 86_400;

/** An Ed25519 public key: base64url of its 32 bytes. */
export const ed25519KeySchema = z
  .string()
  .regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/, 'must be an Ed25519 public key: 43 characters of base64url');

export const ticketHeaderSchema = z.object({
  alg: z.literal('EdDSA'),
  typ: z.literal(TICKET_TYPE),
  kid: z.string().min(1).max(64),
});

const seconds = z.int().min(0);

/** What a ticket says. Without `cnf` it is bound to nobody yet and good for nothing but to be exchanged. */
export const ticketPayloadSchema = z.object({
  iss: z.string().min(1).max(64),
  jti: z.string().min(1).max(64),
  iat: seconds,
  nbf: seconds,
  exp: seconds,
  epoch: z.int().min(0),
  claim: z.object({ namespace: z.string().max(63), name: z.string().max(253), uid: z.string().min(1).max(64) }),
  vgpus: z
    .array(
      z.object({
        index: z
          .int()
          .min(0)
          .max(MAX_VGPUS - 1),
        gpu: z.string().min(1).max(64),
        memoryBytes: z.int().min(1),
        computePercent: z.int().min(1).max(100),
      }),
    )
    .min(1)
    .max(MAX_VGPUS),
  maxSessions: z.int().min(1),
  gracePeriodSeconds: z.int().min(1).max(MAX_GRACE_SECONDS).exactOptional(),
  nested: z
    .object({
      shares: z
        .array(
          z.object({
            name: z.string().min(1).max(32),
            memoryBytes: z.int().min(1),
            computePercent: z.int().min(1).max(100),
            maxSessions: z.int().min(1),
          }),
        )
        .max(MAX_SHARES),
      defaultShare: z.string().min(1).max(32).exactOptional(),
      oversubscribe: z.boolean(),
    })
    .exactOptional(),
  cnf: z
    .object({ jwk: z.object({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: ed25519KeySchema }) })
    .exactOptional(),
});

export type TicketPayload = DeepReadonly<z.infer<typeof ticketPayloadSchema>>;
