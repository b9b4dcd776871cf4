import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually } from '../support/eventually.ts';
import { claim, POOL } from '../support/objects.ts';
import { startServe, type Ran, type Serve } from '../support/serve.ts';
import { LibvirtHost } from './libvirt-host.ts';

const WAIT_MS = 90_000;
const TEST_MS = 300_000;
const DOMAIN = 'vm1';

let host: LibvirtHost;
let serve: Serve;

beforeAll(async () => {
  host = await LibvirtHost.up();
  [serve] = await Promise.all([startServe(), host.boot(DOMAIN)]);
  const manifest = [POOL, claim('trainer', '1Gi', 75)].join('---\n');
  expect(await serve.cli(['apply', '-f', '-'], { stdin: manifest })).toMatchObject({ code: 0, stderr: '' });
}, 600_000);

afterAll(async () => {
  await serve[Symbol.asyncDispose]();
  await host[Symbol.asyncDispose]();
}, 120_000);

const aquiferGuest = (...words: readonly string[]): Promise<Ran> => host.cli(serve, ['guest', ...words]);

/** The claim whose ticket is on a disk of the domain, as this reads it; nothing where it has no such disk. */
async function claimOnDisk(): Promise<string | undefined> {
  const find = 'disk=$(grep -lx aquifer-ticket /sys/block/vd*/serial) && cat "/dev/$(echo "$disk" | cut -d / -f 4)"';
  const { code, output } = await host.inDomain(DOMAIN, find);
  if (code !== 0) return undefined;
  return (JSON.parse(output) as { readonly metadata: { readonly name: string } }).metadata.name;
}

const comesToHave = (wanted: string | undefined): Promise<unknown> =>
  eventually(claimOnDisk, (name) => name === wanted, WAIT_MS);

const diskFiles = async (): Promise<string> => (await host.run('ls', ['-A', '/var/lib/aquifer-guests'])).stdout;

test(
  'a domain that runs is given the ticket of a claim as a disk, once',
  async () => {
    // It is never asked at that address: the domain has no network.
    const words = ['attach', DOMAIN, '--claim', 'trainer', '--channel', 'tcp', '--address', '10.0.0.1:9960'];
    const attached = await aquiferGuest(...words);
    expect(attached).toMatchObject({ code: 0, stderr: expect.stringContaining('has claim default/trainer (tcp)') });
    await comesToHave('trainer');
    expect(await aquiferGuest(...words)).toEqual(attached);
    expect((await host.run('virsh', ['dumpxml', DOMAIN])).stdout.match(/ua-aquifer/g)).toHaveLength(1);
    expect((await aquiferGuest('list')).stdout).toMatch(/^vm1 +default\/trainer +tcp +libvirt +Disk +Attached$/m);
  },
  TEST_MS,
);

test(
  'what would block a migration is unplugged before it and plugged after it',
  async () => {
    expect(await aquiferGuest('prepare-migration', DOMAIN)).toMatchObject({ code: 0 });
    await comesToHave(undefined);
    expect((await aquiferGuest('list')).stdout).toMatch(/libvirt +Disk +Prepared$/m);
    expect(await aquiferGuest('prepare-migration', DOMAIN, '--finish')).toMatchObject({ code: 0 });
    await comesToHave('trainer');
  },
  TEST_MS,
);

test(
  'a domain that is detached keeps nothing, in it and beside it',
  async () => {
    expect(await diskFiles()).toBe('vm1.ticket\n');
    expect(await aquiferGuest('detach', DOMAIN)).toMatchObject({ code: 0 });
    await comesToHave(undefined);
    expect(await diskFiles()).toBe('');
    expect(await aquiferGuest('list')).toMatchObject({ stdout: '', stderr: 'No guest has a claim.\n' });
  },
  TEST_MS,
);
