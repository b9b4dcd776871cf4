import { expect, test } from '@jest/globals';
import { attachCommands, NOTHING, removeCommands, TICKET, VSOCK } from './qemu-plan.ts';

const wish = { ticket: '/t', vsock: { socket: '/s' } };

test('a guest without anything gets a disk and a vsock device, each in a free port', () => {
  const commands = attachCommands(wish, { ...NOTHING, freeBuses: ['p0', 'p1', 'p2'] });
  expect(commands.map(({ execute }) => execute)).toEqual(['blockdev-add', 'device_add', 'chardev-add', 'device_add']);
  expect(commands[0]?.arguments).toMatchObject({ 'read-only': true, file: { filename: '/t' } });
  expect(commands[1]?.arguments).toMatchObject({ driver: 'virtio-blk-pci', id: TICKET, serial: TICKET, bus: 'p0' });
  expect(commands[3]?.arguments).toMatchObject({ driver: 'vhost-user-vsock-pci', chardev: VSOCK, bus: 'p1' });
});

test('what is there is left as it is, and a half-made device is completed', () => {
  const half = { ...NOTHING, devices: new Set([TICKET]), chardevs: new Set([VSOCK]) };
  expect(attachCommands(wish, half).map(({ execute }) => execute)).toEqual(['device_add']);
  expect(attachCommands(wish, { ...half, devices: new Set([TICKET, VSOCK]) })).toEqual([]);
});

test("the kernel's vsock needs no process, and a guest on its network no vsock", () => {
  expect(attachCommands({ ...wish, vsock: { cid: 7 } }, NOTHING).at(-1)?.arguments).toEqual({
    driver: 'vhost-vsock-pci',
    id: VSOCK,
    'guest-cid': 7,
  });
  expect(attachCommands({ ticket: '/t' }, NOTHING)).toHaveLength(2);
});

test('what stood behind devices is removed, and nothing of others', () => {
  const present = {
    ...NOTHING,
    chardevs: new Set([VSOCK, 'serial0']),
    blockNodes: new Set(['aquifer-ticket-file', 'root']),
  };
  expect(removeCommands(present)).toEqual([
    { execute: 'blockdev-del', arguments: { 'node-name': 'aquifer-ticket-file' } },
    { execute: 'chardev-remove', arguments: { id: VSOCK } },
  ]);
  expect(removeCommands(NOTHING)).toEqual([]);
});
