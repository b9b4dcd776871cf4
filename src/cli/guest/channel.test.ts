import { expect, test } from '@jest/globals';
import { chooseChannel } from './channel.ts';
import { forGuest } from './guest-addresses.ts';
import { ticketDisk } from './ticket-disk.ts';
import type { TicketFile } from '../../api/ticket-file.ts';

const ALL = { kernelVsock: true, vhostDevice: true, noVhostUser: undefined };

test.each([
  ['vsock of the kernel before all else', ALL, 'vsock'],
  ['a process where the kernel has none', { ...ALL, kernelVsock: false }, 'vhost-user-vsock'],
  ['the network where the process is not installed', { ...ALL, kernelVsock: false, vhostDevice: false }, 'tcp'],
  ['the network where the guest cannot have it', { ...ALL, kernelVsock: false, noVhostUser: 'memory' }, 'tcp'],
])('chooses %s', (_, facts, channel) => {
  expect(chooseChannel('auto', facts)).toEqual({ ok: true, value: channel });
});

test('what was asked for is refused with the reason, not replaced', () => {
  const nothing = { kernelVsock: false, vhostDevice: false, noVhostUser: undefined };
  expect(chooseChannel('vsock', nothing)).toMatchObject({
    ok: false,
    error: expect.stringContaining('/dev/vhost-vsock'),
  });
  expect(chooseChannel('vhost-user-vsock', nothing)).toMatchObject({ ok: false });
  expect(chooseChannel('vhost-user-vsock', { ...ALL, noVhostUser: 'it is not shared' })).toEqual({
    ok: false,
    error: '--channel vhost-user-vsock: it is not shared',
  });
  expect(chooseChannel('tcp', nothing)).toEqual({ ok: true, value: 'tcp' });
});

const ticket = (address: string): TicketFile => ({
  apiVersion: 'aquifer.dev/v1alpha1',
  kind: 'Ticket',
  metadata: { name: 'trainer', namespace: 'default' },
  ca: 'PEM',
  endpoints: [{ node: 'gpu-1', address }],
  ticket: 'a.b.c',
});

test.each([
  ['10.0.0.1:9960', 'tcp', ['10.0.0.1:9960']],
  ['10.0.0.1:9960', 'vsock', ['vsock:2:9960', '10.0.0.1:9960']],
  ['127.0.0.1:9960', 'vhost-user-vsock', ['vsock:2:9960']],
  ['localhost:9960', 'tcp', undefined],
  ['[::1]:9960', 'tcp', undefined],
] as const)('of a gateway at %s a guest by %s is told %j', (address, channel, expected) => {
  const result = forGuest(ticket(address), channel);
  if (result.ok) expect(result.value.endpoints.map((endpoint) => endpoint.address)).toEqual(expected);
  else {
    expect(expected).toBeUndefined();
    expect(result.error).toContain('--address');
  }
});

test('the disk is whole sectors, and reads as the file', () => {
  const disk = ticketDisk(ticket('h:1'));
  expect(disk.length % 512).toBe(0);
  expect(JSON.parse(disk.toString())).toEqual(ticket('h:1'));
});
