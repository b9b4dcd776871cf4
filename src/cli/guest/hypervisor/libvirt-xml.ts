import { TICKET, VSOCK, type Wish } from './qemu-plan.ts';
import { TICKET_SERIAL } from '../ticket-disk.ts';

/** libvirt lets users name devices, if the names begin so. */
const ALIAS = 'ua-';

/** The names of our devices in a domain. */
export const aliasOf = (device: typeof TICKET | typeof VSOCK): string => `${ALIAS}${device}`;

/** What `virsh attach-device` takes for what a domain has not yet, one device each. */
export function deviceXml({ ticket, vsock }: Wish, domainXml: string): readonly string[] {
  return [
    ...(ticket === undefined || hasDevice(domainXml, TICKET) ? [] : [diskXml(ticket, freeTarget(domainXml))]),
    // A domain has at most one; one that it has already is as good as ours.
    ...(vsock === undefined || /<vsock[ >]/.test(domainXml) ? [] : [VSOCK_XML]),
  ];
}

/** Whether a domain has the device that is ours. */
export const hasDevice = (domainXml: string, device: typeof TICKET | typeof VSOCK): boolean =>
  new RegExp(`<alias name=(['"])${aliasOf(device)}\\1`).test(domainXml);

/** libvirt knows which context ids are free. */
const VSOCK_XML = `<vsock model="virtio">
  <cid auto="yes"/>
  <alias name="${aliasOf(VSOCK)}"/>
</vsock>
`;

const diskXml = (file: string, target: string): string => `<disk type="file" device="disk">
  <driver name="qemu" type="raw"/>
  <source file="${escaped(file)}"/>
  <target dev="${target}" bus="virtio"/>
  <readonly/>
  <serial>${TICKET_SERIAL}</serial>
  <alias name="${aliasOf(TICKET)}"/>
</disk>
`;

/** The last disk that is free, out of the way of those that people add. The guest does not see the name. */
function freeTarget(domainXml: string): string {
  const letters = 'zyxwvutsrqponmlkjihgfedcba'.split('');
  const isFree = (name: string): boolean => !new RegExp(`<target dev=(['"])${name}\\1`).test(domainXml);
  return letters.map((letter) => `vd${letter}`).find(isFree) ?? 'vdzz';
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (text: string): string => text.replaceAll(/[&<>"]/g, (sign) => ENTITIES[sign] ?? '');
