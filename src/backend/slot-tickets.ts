import { z } from 'zod';
import type { TicketFile } from '../api/ticket-file.ts';
import type { OperatorClient } from '../grpc/operator-client.ts';
import { RpcError } from '../grpc/rpc-error.ts';
import { Refused, type JsonObject } from '../ipc/json-lines.ts';
import type { Log } from '../lib/log.ts';
import type { SlotHolders } from './slot-holders.ts';

const requestSchema = z.object({
  slot: z.string().min(1).max(64),
  podUid: z.string().min(1).max(64),
  holderKey: z.string().min(1).max(64),
});

export interface SlotTicketsDeps {
  readonly holders: SlotHolders;
  readonly operator: Pick<OperatorClient, 'issueTicket'>;
  /** The gateway of this node, where it has one. */
  readonly gateway?: { readonly node: string; readonly socket: string } | undefined;
  /** Counts how requests end. */
  readonly counted: (outcome: string) => void;
  readonly log: Log;
}

/**
 * Answers the connector: `ticketFor {slot, podUid, holderKey}`. Kubelet says which container has the slot, the cgroup of
 * the peer has said in which pod it is, and the operator decides whether the two are one.
 */
export function slotTickets(deps: SlotTicketsDeps): (fields: JsonObject) => Promise<JsonObject> {
  return async (fields) => {
    try {
      const answer = { ticketFile: await ticketFor(deps, fields) };
      deps.counted('Issued');
      return answer;
    } catch (error) {
      const refused = refusalOf(error);
      deps.counted(refused.reason);
      throw refused;
    }
  };
}

async function ticketFor(
  { holders, operator, gateway, log }: SlotTicketsDeps,
  fields: JsonObject,
): Promise<TicketFile> {
  const request = requestSchema.safeParse(fields);
  if (!request.success) throw new Refused('BadRequest', z.prettifyError(request.error));
  const { slot, podUid, holderKey } = request.data;
  const holder = await holders.holderOf(slot).catch((error: unknown) => {
    throw new Refused('KubeletAway', `kubelet does not say whose ${slot} is: ${String(error)}`);
  });
  if (holder === undefined) throw new Refused('SlotNotHeld', `kubelet knows no container that has ${slot}`);
  const { podNamespace, podName, container } = holder;
  const file = await operator.issueTicket({ podNamespace, podName, podUid, container, holderKey });
  log.info('ticket issued', { slot, object: `${podNamespace}/${podName}`, container, claim: file.metadata.name });
  return throughOwnGateway(file, gateway);
}

/** On the GPU's own node nothing goes over the network. */
function throughOwnGateway(file: TicketFile, gateway: SlotTicketsDeps['gateway']): TicketFile {
  if (gateway === undefined || file.endpoints.some(({ node }) => node !== gateway.node)) return file;
  return { ...file, endpoints: [{ node: gateway.node, address: `unix:${gateway.socket}` }] };
}

function refusalOf(error: unknown): Refused {
  if (error instanceof Refused) return error;
  if (error instanceof RpcError) return new Refused(error.reason ?? 'OperatorAway', error.message);
  throw error;
}
