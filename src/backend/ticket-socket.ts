import { join } from 'node:path';
import { SLOT_RESOURCE } from '../api/extended-resource.ts';
import type { OperatorClient } from '../grpc/operator-client.ts';
import { containerIds } from '../grpc/pod-resources.ts';
import { Refused } from '../ipc/json-lines.ts';
import { serveLines } from '../ipc/line-server.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { slotHolders } from './slot-holders.ts';
import { slotTickets, type SlotTicketsDeps } from './slot-tickets.ts';

export interface TicketSocketOptions {
  readonly socket: string;
  readonly kubeletDir: string;
  readonly operator: Pick<OperatorClient, 'issueTicket'>;
  readonly gateway: SlotTicketsDeps['gateway'];
  readonly counted: SlotTicketsDeps['counted'];
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Where the connector of this node asks for the tickets of slots. */
export function serveTickets(options: TicketSocketOptions): Promise<AsyncDisposable> {
  const { socket, kubeletDir, clock, signal, log } = options;
  const kubelet = join(kubeletDir, 'pod-resources', 'kubelet.sock');
  const holders = slotHolders({ list: () => containerIds(kubelet, SLOT_RESOURCE), clock, signal });
  const tickets = slotTickets({ ...options, holders });
  return serveLines(socket, 'agent', {
    async request(_, op, fields) {
      if (op !== 'ticketFor') throw new Refused('UnknownOperation', `there is no ${JSON.stringify(op)}`);
      return tickets(fields);
    },
    failed: (err) => log.error('request of the connector failed', { err }),
  });
}
