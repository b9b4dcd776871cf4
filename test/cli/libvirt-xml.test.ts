import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { aliasOf, deviceXml, hasDevice } from '../../src/cli/guest/hypervisor/libvirt-xml.ts';
import { TICKET, VSOCK } from '../../src/cli/guest/hypervisor/qemu-plan.ts';

/** libvirt's own schema: Debian package libvirt0, read by xmllint of libxml2-utils. */
const SCHEMA = '/usr/share/libvirt/schemas/domain.rng';

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'aq-libvirt-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const domain = (devices: string): string => `<domain type='qemu'>
  <name>vm1</name>
  <memory unit='MiB'>256</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>${devices}</devices>
</domain>
`;

const wish = { ticket: '/var/lib/aquifer-guests/a & "b" <c>.ticket', vsock: { cid: 7 } };

/** @throws Error with what xmllint says against it. */
function validate(xml: string): void {
  const file = join(directory, 'domain.xml');
  writeFileSync(file, xml);
  execFileSync('xmllint', ['--noout', '--relaxng', SCHEMA, file], { stdio: 'pipe' });
}

test("the devices are what libvirt's schema allows", () => {
  const devices = deviceXml(wish, domain(''));
  expect(devices).toHaveLength(2);
  expect(() => validate(domain(devices.join('')))).not.toThrow();
  expect(() => validate(domain('<vsock model="virtio"><cid auto="maybe"/></vsock>'))).toThrow(/fails to validate/);
});

test('a domain that has them is given nothing more', () => {
  const full = domain(deviceXml(wish, domain('')).join(''));
  expect([hasDevice(full, TICKET), hasDevice(full, VSOCK)]).toEqual([true, true]);
  expect(deviceXml(wish, full)).toEqual([]);
});

test("a vsock device of the domain's own will do, and is not taken for ours", () => {
  const own = domain("<vsock model='virtio'><cid auto='no' address='3'/></vsock>");
  expect(deviceXml(wish, own)).toHaveLength(1);
  expect(hasDevice(own, VSOCK)).toBe(false);
});

test('the disk takes the last name that is free', () => {
  const target = (name: string): string => `<disk type='block'><target dev='${name}' bus='virtio'/></disk>`;
  expect(deviceXml(wish, domain(''))[0]).toContain('dev="vdz"');
  expect(deviceXml(wish, domain(`${target('vdz')}${target('vda')}`))[0]).toContain('dev="vdy"');
  expect(deviceXml(wish, domain(''))[0]).toContain(aliasOf(TICKET));
});
