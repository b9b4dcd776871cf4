import { z } from 'zod';
import { guestOriginSchema } from '../api/guest-offer.ts';

const sessionId = z.string().regex(/^[0-9a-f]{32}$/);
const claim = z.object({ namespace: z.string().max(63), name: z.string().max(253), uid: z.string().min(1).max(64) });
const jwk = z.object({ jwk: z.object({ x: z.string().max(64) }) });

const share = z.object({
  name: z.string().max(64),
  memoryBytes: z.int().min(1),
  computePercent: z.int().min(1).max(100),
  maxSessions: z.int().min(1),
});

/** As a connector names a container; what it was admitted with comes back to us as we gave it. */
const containerId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/);
const container = z.object({ id: containerId, share: z.string().max(64).nullish() });
const admitted = z.object({ key: z.string().regex(/^[0-9a-f]{16}$/), id: containerId, share: share.optional() });

const ticket = z.object({
  claim,
  vgpus: z
    .array(
      z.object({
        index: z.int().min(0).max(1023),
        gpu: z.string().min(1).max(64),
        memoryBytes: z.int().min(1),
        computePercent: z.int().min(1).max(100),
      }),
    )
    .min(1)
    .max(64),
  maxSessions: z.int().min(1),
  gracePeriodSeconds: z.int().min(1).max(86_400).optional(),
  nested: z
    .object({ shares: z.array(share).max(64), defaultShare: z.string().max(64).optional(), oversubscribe: z.boolean() })
    .optional(),
  epoch: z.int().min(0),
  cnf: jwk.optional(),
});

const program = z
  .object({ pid: z.int().min(0).nullish(), name: z.string().max(4096).nullish() })
  .nullish()
  .catch(undefined); // Told by a connector for people to read: it is not worth a refusal.

const channel = z.enum(['unix', 'tcp', 'vsock']);
/** Whether the program's client is there, and how often it has come back. */
const client = z.object({ connected: z.boolean(), resumes: z.int().min(0) });
const peer = z.object({ kind: channel, address: z.string().max(256).nullish() });

/** What the gateway asks for (native/control/README.md). Fields that we have no use for are not looked at. */
export const requests = {
  enrol: z.object({ csrPem: z.string().max(16_384) }),
  admit: z.object({
    session: sessionId,
    ticket,
    holder: z.string().max(64),
    peer,
    program,
    container: container.nullish(),
  }),
  renew: z.object({ ticket: z.string().max(32_768), holderKey: z.string().max(64) }),
  obtain: z.object({ holderKey: z.string().max(64), from: guestOriginSchema }),
  /** Its program reaches this host over another channel now. */
  moved: z.object({ session: sessionId, peer }),
  client: z.object({ session: sessionId, client }),
  /** How attempts to go on with sessions have ended since it told last. */
  resumes: z.object({ resumed: z.int().min(0), refused: z.int().min(0), expired: z.int().min(0) }),
  inspect: z.object({ ticket, holder: z.string().max(64), container: container.nullish() }),
  sessionEnded: z.object({ session: sessionId, reason: z.string().max(64).nullish() }),
  sessions: z.object({
    sessions: z
      .array(
        z.object({
          session: sessionId,
          claim,
          /** Seconds since 1970. */
          startedAt: z.int().min(0),
          program,
          channel,
          client: client.optional(),
          container: admitted.nullish(),
        }),
      )
      .max(65_536),
  }),
} as const;

export type Operation = keyof typeof requests;
export type Admit = z.infer<typeof requests.admit>;
export type ReportedSession = z.infer<typeof requests.sessions>['sessions'][number];
