import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Attachment } from './attachment.ts';
import { offer, ticketState } from './offer.ts';

const ENDPOINTS = [{ node: 'gpu-1', address: 'vsock:2:9960' }];
const at = (minutes: number): Date => new Date(Date.parse('2026-01-31T12:00:00Z') + minutes * 60_000);
const attachment: Attachment = {
  domain: 'vm1',
  namespace: 'default',
  claim: 'trainer',
  hypervisor: { kind: 'qemu', qmp: '/qmp' },
  channel: 'vsock',
  cid: 10_000,
  offered: true,
  prepared: false,
  addresses: [],
  ticket: '/ticket',
};
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'aq-offer-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const offerAt = (minutes: number, changed: Partial<Attachment> = {}): void =>
  offer({ ...attachment, ...changed }, folder, { endpoints: ENDPOINTS, seconds: 600, now: at(minutes) });
const written = (): unknown => JSON.parse(readFileSync(join(folder, 'offer.json'), 'utf8'));

test('an offer holds for its time, however often it is made, and can be made anew afterwards', () => {
  expect(ticketState(attachment, folder, at(0))).toBe('Expired');
  offerAt(0);
  offerAt(5);
  expect(written()).toMatchObject({ channel: { cid: 10_000 }, endpoints: ENDPOINTS, until: at(10).toISOString() });
  expect(ticketState(attachment, folder, at(9))).toBe('Offered');
  expect(ticketState(attachment, folder, at(11))).toBe('Expired');
  offerAt(11);
  expect(ticketState(attachment, folder, at(20))).toBe('Offered');
});

test('what is taken shows by whom, and is offered for no longer; the channel may be another process', () => {
  offerAt(0);
  writeFileSync(join(folder, 'taken.json'), JSON.stringify({ key: 'abc', at: at(1).toISOString() }));
  const process = { pid: 7, startTime: 8 };
  offer({ ...attachment, cid: undefined, process }, folder, { endpoints: ENDPOINTS, seconds: 600, now: at(30) });
  expect(written()).toMatchObject({ channel: { process }, until: at(10).toISOString() });
  expect(ticketState(attachment, folder, at(30))).toBe('Taken by abc');
  expect(ticketState({ ...attachment, offered: false }, folder, at(30))).toBe('Disk');
});

test('without vsock nothing is offered', () => {
  expect(() => offerAt(0, { cid: undefined })).toThrow('domain vm1 has no vsock');
});
