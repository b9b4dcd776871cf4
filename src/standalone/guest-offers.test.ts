import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GuestOffer, GuestOrigin } from '../api/guest-offer.ts';
import type { TicketFile } from '../api/ticket-file.ts';
import { guestOffers } from './guest-offers.ts';

const NOW = new Date('2026-01-31T12:00:00Z');
const PROCESS = { pid: 4711, startTime: 99 };
const silent = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} };
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'aq-offers-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function offered(domain: string, change: Partial<GuestOffer> = {}): void {
  const offer: GuestOffer = {
    namespace: 'default',
    claim: 'trainer',
    channel: { process: PROCESS },
    endpoints: [{ node: 'gpu-1', address: 'vsock:2:9960' }],
    until: '2026-01-31T12:10:00Z',
    ...change,
  };
  mkdirSync(join(directory, domain));
  writeFileSync(join(directory, domain, 'offer.json'), JSON.stringify(offer));
}

/** What serve answers at a time; each call is that of a serve that was started anew. */
function asked(key: string, from: GuestOrigin = { process: PROCESS }, now = NOW): string {
  const issue = ({ claim }: GuestOffer, holder: string): TicketFile =>
    ({ metadata: { name: claim }, ticket: holder }) as TicketFile;
  const obtain = guestOffers({ directory, clock: { now: () => now }, log: silent, issue });
  try {
    const { metadata, ticket } = obtain(from, key);
    return `${metadata.name} for ${ticket}`;
  } catch (error) {
    return (error as { readonly reason: string }).reason;
  }
}

test('one key has the ticket, as often as it asks, and no other, whatever happens to serve', () => {
  offered('vm1');
  expect(asked('first')).toBe('trainer for first');
  expect(asked('second')).toBe('OfferTaken');
  expect(asked('first')).toBe('trainer for first');
});

test('the time to ask ends, for who has the ticket too', () => {
  offered('vm1');
  const late = new Date('2026-01-31T12:10:01Z');
  expect(asked('first', undefined, late)).toBe('OfferExpired');
  expect(asked('first')).toBe('trainer for first');
  expect(asked('first', undefined, late)).toBe('OfferExpired');
});

test.each<[string, GuestOrigin]>([
  ['another process', { process: { pid: 4712, startTime: 99 } }],
  ['a process that has its pid by now', { process: { pid: 4711, startTime: 100 } }],
  ["another channel's guest", { cid: 4711, port: 1023 }],
])('%s is offered nothing', (_, from) => {
  offered('vm1');
  expect(asked('first', from)).toBe('NotOffered');
  expect(asked('second')).toBe('trainer for second');
});

test("over the kernel's vsock the guest's root alone may ask", () => {
  offered('vm1', { channel: { cid: 10_000 } });
  expect(asked('thief', { cid: 10_000, port: 1024 })).toBe('PortNotReserved');
  expect(asked('neighbour', { cid: 10_001, port: 1023 })).toBe('NotOffered');
  expect(asked('first', { cid: 10_000, port: 1023 })).toBe('trainer for first');
});

test('guests that cannot be told apart are refused, and what cannot be read offers nothing', () => {
  expect(asked('first')).toBe('NotOffered');
  offered('vm1');
  offered('vm2');
  expect(asked('first')).toBe('NotOffered');
  writeFileSync(join(directory, 'vm2', 'offer.json'), '{');
  expect(asked('first')).toBe('trainer for first');
  writeFileSync(join(directory, 'vm1', 'taken.json'), '{}');
  expect(asked('first')).toBe('NotOffered');
});

test('a claim without vGPUs takes nobody the offer away', () => {
  offered('vm1');
  const refuse = (): never => {
    throw new Error('not bound');
  };
  const obtain = guestOffers({ directory, clock: { now: () => NOW }, log: silent, issue: refuse });
  expect(() => obtain({ process: PROCESS }, 'first')).toThrow('not bound');
  expect(asked('second')).toBe('trainer for second');
});
