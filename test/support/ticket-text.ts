import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TicketPayload } from '../../src/api/ticket.ts';

/** What a ticket says; nobody looks who signed it. */
export const payloadOf = (ticket: string): TicketPayload =>
  JSON.parse(Buffer.from(ticket.split('.')[1] ?? '', 'base64url').toString()) as TicketPayload;

/** When the ticket that a connector keeps runs out, in seconds since 1970; 0 when it keeps none yet. */
export function storedExpiry(stateDir: string): number {
  const kept = join(stateDir, 'tickets');
  const [file] = readdirSync(kept).filter((name) => name.endsWith('.json'));
  const text = file === undefined ? '' : readFileSync(join(kept, file), 'utf8');
  const compact = /[\w-]+\.[\w-]+\.[\w-]+/.exec(text)?.[0];
  return compact === undefined ? 0 : payloadOf(compact).exp;
}
