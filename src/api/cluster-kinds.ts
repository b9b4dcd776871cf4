import type { z } from 'zod';
import { age, kinds, objectSchema, type Kind, type KindEntry } from './kinds.ts';
import { objectMetaSchema, type DeepReadonly } from './meta.ts';
import { ticketRequestSpecSchema, ticketRequestStatusSchema } from './ticket-request.ts';

/**
 * All kinds that a Kubernetes cluster knows of us: those of every store, and what takes the place there of a request to
 * the socket of `serve`.
 */
export const clusterKinds = {
  ...kinds,
  TicketRequest: {
    kind: 'TicketRequest',
    plural: 'ticketrequests',
    singular: 'ticketrequest',
    shortNames: ['vtr'],
    namespaced: true,
    description:
      'Asks for a ticket with which a program outside the cluster uses a claim. Whoever may create them in a namespace may ' +
      'have tickets for all of its claims. `kubectl aquifer ticket` makes one, prints what it is answered, and removes it.',
    schema: objectSchema('TicketRequest', ticketRequestSpecSchema, ticketRequestStatusSchema),
    columns: [
      { name: 'Claim', type: 'string', jsonPath: '.spec.claimName', description: 'The claim that is to be used.' },
      {
        name: 'Issued',
        type: 'string',
        jsonPath: '.status.conditions[?(@.type=="Issued")].status',
        description: 'Whether there is a ticket; empty while the claim waits.',
      },
      {
        name: 'Reason',
        type: 'string',
        jsonPath: '.status.conditions[?(@.type=="Issued")].reason',
        description: 'Why there is one or not.',
      },
      {
        name: 'Message',
        type: 'string',
        jsonPath: '.status.conditions[?(@.type=="Issued")].message',
        priority: 1,
        description: 'The reason in a sentence.',
      },
      age,
    ],
  },
} as const satisfies Record<string, KindEntry>;

export type ClusterKind = Kind | 'TicketRequest';

export const clusterKindNames = Object.keys(clusterKinds) as readonly ClusterKind[];

const storedTicketRequest = clusterKinds.TicketRequest.schema.extend({ metadata: objectMetaSchema });

export type TicketRequest = DeepReadonly<z.output<typeof storedTicketRequest>>;

/** The table of kinds of a store of requests for tickets. */
export interface TicketRequestKinds {
  readonly TicketRequest: TicketRequest;
}
