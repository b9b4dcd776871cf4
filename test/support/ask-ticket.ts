/**
 * What a test runs inside a node, where the operator's pods can be reached: asks for a ticket as an agent does, with what it
 * reads from its standard input, and prints `granted` or the reason why not.
 */
import { json } from 'node:stream/consumers';
import { operatorClient, type TicketWish } from '../../src/grpc/operator-client.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';

export interface TicketQuestion {
  readonly address: string;
  readonly caPem: string;
  readonly token: string;
  readonly wish: TicketWish;
}

const { address, caPem, token, wish } = (await json(process.stdin)) as TicketQuestion;
using client = operatorClient({
  address,
  caPem,
  serverName: 'aquifer-operator',
  token: () => Promise.resolve(token),
  clock: systemClock,
  signal: new AbortController().signal,
  patienceMs: 60_000,
});
const answer = client.issueTicket(wish).then(
  () => 'granted',
  (error: Error & { readonly reason?: string }) => error.reason ?? error.message,
);
console.log(await answer);
