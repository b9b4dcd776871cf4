import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { startContainer } from './containers.ts';
import { GuestHost } from './guest-host.ts';
import type { Guest } from './guest.ts';
import { startJob } from './job.ts';
import { KERNEL_SERIES, kernelPackage } from './packages.ts';

let host: GuestHost;
let guest: Guest;

beforeAll(async () => {
  host = await GuestHost.up();
  guest = await host.boot();
}, 600_000);

afterAll(() => host.down(), 60_000);

const pingHost = (): Promise<string> => guest.exec(`ping -c 1 -w 30 ${host.address}`);

test.each(KERNEL_SERIES)('the kernel of series %s is one of it', (series) => {
  expect(kernelPackage(series)).toMatch(new RegExp(`^linux-image-${series.replace('.', String.raw`\.`)}[.]`));
});

test('a guest has no GPU, no driver and no PCI device of one', async () => {
  expect(await guest.exec('cat /sys/bus/pci/devices/*/class')).not.toMatch(/^0x03/m);
  expect(await guest.exec('ls /dev; ls /proc/driver')).not.toMatch(/nvidia/);
});

test('a file arrives as it is, and what a command says and how it ends is told', async () => {
  const content = Buffer.from(Array.from({ length: 20_000 }, (_, at) => at % 251));
  await guest.write('/run/with space/file', content);
  const { code, output } = await guest.attempt(`base64 -w 0 '/run/with space/file'; exit 7`);
  expect({ code, content: Buffer.from(output, 'base64') }).toEqual({ code: 7, content });
}, 120_000);

test('a nested container runs', async () => {
  const command = ['sh', '-c', 'id; ls /usr/local/bin; exit 3'];
  const container = await startContainer(guest, { name: 'hello', runtime: 'crun', command });
  expect(await container.ended()).toEqual({ code: 3, output: expect.stringMatching(/uid=0.*matmul/s) });
}, 300_000);

test.each(['shared', 'stop', 'shared', 'stop'] as const)(
  'what runs in the guest runs on after a migration (%s)',
  async (kind) => {
    const boot = await guest.exec('cat /proc/sys/kernel/random/boot_id');
    const counting = await startJob(
      guest,
      `count-${Math.random()}`,
      'for i in $(seq 40); do echo $i; sleep 0.05; done',
    );
    const monitor = guest.qmpSocket;
    expect(await guest.migrate(kind)).toMatchObject({ kind });
    expect(guest.qmpSocket).not.toBe(monitor);
    await pingHost();
    const lines = Array.from({ length: 40 }, (_, at) => `${at + 1}\n`).join('');
    expect(await counting.ended()).toEqual({ code: 0, output: lines });
    expect(await guest.exec('cat /proc/sys/kernel/random/boot_id')).toBe(boot);
  },
  300_000,
);

test('a guest whose network is cut runs on, and is there again', async () => {
  await guest.cutNetwork();
  expect((await guest.attempt(`ping -c 1 -w 2 ${host.address}`)).code).not.toBe(0);
  await guest.mendNetwork();
  await pingHost();
}, 120_000);

test('a state that was saved is restored twice, from the same moment', async () => {
  const file = join(host.state, 'saved');
  await guest.exec('echo before >/run/when');
  await guest.save(file);
  expect(guest.isRunning()).toBe(false);
  for (const _ of ['once', 'twice']) {
    await guest.restore(file);
    expect(await guest.exec('cat /run/when; echo after >/run/when')).toBe('before\n');
    await pingHost();
  }
  rmSync(file);
}, 300_000);

test('a guest that is paused does nothing until it continues', async () => {
  await guest.pause();
  await expect(guest.exec('true', 1000)).rejects.toThrow(/no answer/);
  await guest.continue();
  expect(await guest.exec('echo here')).toBe('here\n');
}, 120_000);
