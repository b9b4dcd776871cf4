import { z } from 'zod';
import { API_VERSION } from './meta.ts';

/** What `aquifer ticket` prints and a connector on another host reads. It is a secret until a key is bound to it. */
export const ticketFileSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('Ticket'),
  metadata: z.strictObject({ name: z.string(), namespace: z.string() }),
  /** The certificate of the pool's own CA, PEM. */
  ca: z.string(),
  /** Where the gateways of the vGPUs listen: `host:port`, or `unix:/path` on the same host. */
  endpoints: z.array(z.strictObject({ node: z.string(), address: z.string() })).min(1),
  /** JWS in compact serialisation. */
  ticket: z.string(),
});

export type TicketFile = Readonly<z.infer<typeof ticketFileSchema>>;
