import { z } from 'zod';
import { ed25519KeySchema, MAX_TICKET_LENGTH } from '../../api/ticket.ts';
import { RpcError } from '../../grpc/rpc-error.ts';
import type { DeepReadonly } from '../../api/meta.ts';

/** The requests of agents, which may be anything: each field is bounded before it is looked at. */

const name = z.string().min(1).max(253);
const namespace = z.string().min(1).max(63);
const uid = z.string().min(1).max(64);

export const enrol = z.object({ csr: z.string().min(1).max(16_384) });

export const issueTicket = z.object({
  podNamespace: namespace,
  podName: name,
  podUid: uid,
  container: namespace,
  holderKey: ed25519KeySchema,
});

export type IssueTicketRequest = DeepReadonly<z.infer<typeof issueTicket>>;

export const renewTicket = z.object({
  ticket: z.string().min(1).max(MAX_TICKET_LENGTH),
  holderKey: ed25519KeySchema,
});

export const reportSession = z.object({
  session: z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 hexadecimal digits'),
  claimNamespace: namespace,
  claimName: name,
  claimUid: uid,
  ended: z.boolean(),
  reason: z.string().regex(/^[A-Za-z0-9]{0,64}$/, 'must be one word'),
});

export const reportClosing = z.object({ claimUid: uid });

/** @throws RpcError that says what is wrong with it. */
export function checked<S extends z.ZodType>(schema: S, request: unknown): z.output<S> {
  const parsed = schema.safeParse(request);
  if (parsed.success) return parsed.data;
  throw new RpcError('INVALID_ARGUMENT', z.prettifyError(parsed.error), { reason: 'BadRequest' });
}
