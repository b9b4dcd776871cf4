import type { QmpCommand } from './qmp.ts';
import { TICKET_SERIAL } from '../ticket-disk.ts';

/** What our devices are called in a QEMU: what is there under these names is ours. */
export const TICKET = 'aquifer-ticket';
export const VSOCK = 'aquifer-vsock';
/** Not the device's name: block nodes share theirs with nothing else. */
const TICKET_FILE = 'aquifer-ticket-file';

/** A vsock device: of the kernel, or of a process that listens at a socket. */
export type VsockDevice = { readonly cid: number } | { readonly socket: string };

/** What a guest is to have. */
export interface Wish {
  /** The file that is its ticket disk. */
  readonly ticket?: string | undefined;
  readonly vsock?: VsockDevice | undefined;
}

/** What a QEMU has under these names. */
export interface Present {
  readonly devices: ReadonlySet<string>;
  readonly chardevs: ReadonlySet<string>;
  readonly blockNodes: ReadonlySet<string>;
  /** Buses into which a device can be plugged; none where the machine's own takes any. */
  readonly freeBuses: readonly string[];
}

export const NOTHING: Present = { devices: new Set(), chardevs: new Set(), blockNodes: new Set(), freeBuses: [] };

/** The commands that give a guest what it has not yet. What is there is left as it is. */
export function attachCommands(wish: Wish, present: Present): readonly QmpCommand[] {
  const buses = [...present.freeBuses];
  const add = (device: Readonly<Record<string, unknown>>): QmpCommand => {
    const bus = buses.shift();
    return { execute: 'device_add', arguments: { ...device, ...(bus === undefined ? {} : { bus }) } };
  };
  return [
    ...(present.devices.has(TICKET) || wish.ticket === undefined ? [] : diskCommands(wish.ticket, present, add)),
    ...(present.devices.has(VSOCK) || wish.vsock === undefined ? [] : vsockCommands(wish.vsock, present, add)),
  ];
}

type AddDevice = (device: Readonly<Record<string, unknown>>) => QmpCommand;

function diskCommands(filename: string, { blockNodes }: Present, add: AddDevice): readonly QmpCommand[] {
  const file = { driver: 'file', filename };
  const node = { 'node-name': TICKET_FILE, driver: 'raw', 'read-only': true, file };
  return [
    ...(blockNodes.has(TICKET_FILE) ? [] : [{ execute: 'blockdev-add', arguments: node }]),
    add({ driver: 'virtio-blk-pci', id: TICKET, drive: TICKET_FILE, serial: TICKET_SERIAL }),
  ];
}

function vsockCommands(vsock: VsockDevice, { chardevs }: Present, add: AddDevice): readonly QmpCommand[] {
  if ('cid' in vsock) return [add({ driver: 'vhost-vsock-pci', id: VSOCK, 'guest-cid': vsock.cid })];
  const address = { type: 'unix', data: { path: vsock.socket } };
  const backend = { type: 'socket', data: { addr: address, server: false } };
  return [
    ...(chardevs.has(VSOCK) ? [] : [{ execute: 'chardev-add', arguments: { id: VSOCK, backend } }]),
    add({ driver: 'vhost-user-vsock-pci', id: VSOCK, chardev: VSOCK }),
  ];
}

/** The command that asks the guest to let go of a device. */
export const unplugCommand = (id: string): QmpCommand => ({ execute: 'device_del', arguments: { id } });

/** The commands that remove what stood behind devices that are gone. */
export function removeCommands({ blockNodes, chardevs }: Present): readonly QmpCommand[] {
  return [
    ...(blockNodes.has(TICKET_FILE) ? [{ execute: 'blockdev-del', arguments: { 'node-name': TICKET_FILE } }] : []),
    ...(chardevs.has(VSOCK) ? [{ execute: 'chardev-remove', arguments: { id: VSOCK } }] : []),
  ];
}
