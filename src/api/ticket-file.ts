import { z } from 'zod';
import { API_VERSION } from './meta.ts';

/** The port of vsock at which guests find the gateway of their host. */
export const VSOCK_PORT = 9960;

/** Where a gateway is reached. */
export const gatewayAddressSchema = z
  .string()
  .max(300)
  .regex(
    /^(?:unix:[/].+|vsock:[0-9]{1,10}:[0-9]{1,10}|(?!vsock:|unix:)(?:[^\s:]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5})$/,
    'must be host:port, vsock:CID:PORT or unix:/path',
  );

/** What `aquifer ticket` prints and a connector on another host reads. It is a secret until a key is bound to it. */
export const ticketFileSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('Ticket'),
  metadata: z.strictObject({ name: z.string(), namespace: z.string() }),
  /** The certificate of the pool's own CA, PEM. */
  ca: z.string(),
  /** Where the gateways of the vGPUs listen: `host:port`, `vsock:CID:PORT`, or `unix:/path` on the same host. */
  endpoints: z.array(z.strictObject({ node: z.string(), address: z.string() })).min(1),
  /** JWS in compact serialisation. */
  ticket: z.string(),
});

export type TicketFile = Readonly<z.infer<typeof ticketFileSchema>>;
