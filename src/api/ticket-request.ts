import { z } from 'zod';
import { conditionsSchema } from './meta.ts';
import { DEFAULT_TICKET_SECONDS, ed25519KeySchema, MAX_TICKET_LENGTH, MAX_TICKET_SECONDS } from './ticket.ts';
import { MAX_VGPUS } from './vgpu-claim.ts';

export const ticketRequestSpecSchema = z
  .strictObject({
    claimName: z.string().min(1).max(63).meta({ description: 'The `VGPUClaim` of the same namespace.' }),
    holderKey: ed25519KeySchema.meta({
      description:
        'The key that the ticket is bound to, as `aquifer-connector key` prints it: to whoever has not its private ' +
        'half the ticket is worthless.',
    }),
    expirationSeconds: z
      .int()
      .min(1)
      .max(MAX_TICKET_SECONDS)
      .default(DEFAULT_TICKET_SECONDS)
      .meta({ description: 'How long the ticket is good. A connector renews it in time.' }),
  })
  .meta({ description: 'Who is to use which claim.' });

const endpointSchema = z.strictObject({
  node: z.string().min(1).max(253).meta({ description: 'The node of the gateway.' }),
  address: z.string().min(1).max(512).meta({ description: 'Where it listens.' }),
});

export const ticketRequestStatusSchema = z
  .strictObject({
    ticket: z.string().max(MAX_TICKET_LENGTH).exactOptional().meta({ description: 'The ticket, a JWS.' }),
    ca: z.string().max(16_384).exactOptional().meta({
      description: "The certificate of the pool's own CA, PEM: gateways are known by it.",
    }),
    endpoints: z
      .array(endpointSchema)
      .max(MAX_VGPUS)
      .exactOptional()
      .meta({
        description: 'Where the gateways of the vGPUs listen, as the nodes of the cluster reach them.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['node'],
      }),
    conditions: conditionsSchema.exactOptional(),
  })
  .meta({ description: 'The answer, written once. There is none while the claim waits for its vGPUs.' });

/** The condition that tells whether there is a ticket, or why there will be none. */
export const ISSUED = 'Issued';
