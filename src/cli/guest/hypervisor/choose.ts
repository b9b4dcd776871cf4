import type { HypervisorName } from '../attachment.ts';
import type { Hypervisor } from './hypervisor.ts';
import { libvirt } from './libvirt.ts';
import { qemu } from './qemu.ts';

/** The hypervisor of a domain. */
export const hypervisorOf = (name: HypervisorName, domain: string): Hypervisor =>
  name.kind === 'qemu' ? qemu(name.qmp) : libvirt(name.uri, domain);
