import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually } from '../support/eventually.ts';
import { claim, POOL, sessionsOf } from '../support/objects.ts';
import type { Ran, Serve } from '../support/serve.ts';
import { offerClaim, serveOn } from './guest-claim.ts';
import { GuestHost } from './guest-host.ts';
import { startGuestProgram } from './guest-program.ts';
import type { Guest } from './guest.ts';
import { startJob } from './job.ts';
import { withVhostDevice } from './vhost-device.ts';

const WAIT_MS = 90_000;
const TEST_MS = 300_000;
/** Of 64 KiB each, both ways: a guest's kernel cuts a longer packet than it lets through. */
const COPIES = 20;

let host: GuestHost;
let guest: Guest;
let serve: Serve;
/** Of the guest's connector. */
let socket: string;

beforeAll(async () => {
  host = await GuestHost.up();
  [guest, serve] = await Promise.all([host.boot(), serveOn(host)]);
  const manifest = [POOL, claim('trainer', '1Gi', 75)].join('---\n');
  expect(await serve.cli(['apply', '-f', '-'], { stdin: manifest })).toMatchObject({ code: 0, stderr: '' });
}, 600_000);

afterAll(async () => {
  await aquiferGuest('detach', 'vm1');
  await serve[Symbol.asyncDispose]();
  await host.down();
}, 120_000);

const aquiferGuest = (...words: readonly string[]): Promise<Ran> =>
  serve.cli(['guest', ...words], { env: withVhostDevice() });

const ticketDisk = (): Promise<string> =>
  guest.attempt('grep -lx aquifer-ticket /sys/block/vd*/serial').then(({ output }) => output.split('/')[3] ?? '');

/** Copies to the vGPU and back in a new session. @returns the channel that this had. */
async function copiesOver(name: string): Promise<string> {
  const before = (await sessionsOf(serve)).map(({ session }) => session);
  const program = await startGuestProgram(guest, name, socket);
  for (let copy = 0; copy < COPIES; copy += 1) expect(await program.ask('echo')).toBe('ok');
  const fresh = (await sessionsOf(serve)).find(({ session }) => !before.includes(session));
  expect(await program.end()).toMatchObject({ code: 0 });
  await eventually(
    () => sessionsOf(serve),
    (now) => now.length === before.length,
    WAIT_MS,
  );
  return fresh?.channel ?? '';
}

test(
  'a guest that runs is given a ticket and vsock, over which its programs copy',
  async () => {
    const words = ['attach', 'vm1', '--claim', 'trainer', '--qmp', guest.qmpSocket];
    const attached = await aquiferGuest(...words);
    expect(attached).toMatchObject({ code: 0, stderr: expect.stringContaining('(vhost-user-vsock)') });
    expect(await aquiferGuest(...words)).toEqual(attached);
    const disk = await eventually(ticketDisk, (name) => name !== '', WAIT_MS);
    await guest.exec(`mkdir -p /etc/aquifer && cp /dev/${disk} /etc/aquifer/ticket.json`);
    socket = await offerClaim(guest);
    expect(await copiesOver('attached')).toBe('vsock');
  },
  TEST_MS,
);

test(
  'a session whose vsock is unplugged goes on over TCP; the guest can be migrated, and the session is back on vsock before it ends',
  async () => {
    const living = await startGuestProgram(guest, 'living', socket);
    for (let copy = 0; copy < COPIES; copy += 1) await living.tell('echo');
    const prepared = await aquiferGuest('prepare-migration', 'vm1');
    expect(prepared).toMatchObject({ code: 0, stderr: expect.stringContaining('can be migrated now') });
    expect((await aquiferGuest('list')).stdout).toMatch(/vm1 .* Prepared\n/);
    // What it was told before, in the middle of which its connection went away, and more.
    for (let copy = 0; copy < COPIES; copy += 1) expect(await living.answer()).toBe('ok');
    expect(await living.ask('echo')).toBe('ok');
    expect((await sessionsOf(serve)).map(({ channel }) => channel)).toEqual(['tcp']);
    expect(await copiesOver('prepared')).toBe('tcp');
    await guest.migrate();
    const moved = await aquiferGuest('prepare-migration', 'vm1', '--finish', '--qmp', guest.qmpSocket);
    expect(moved).toMatchObject({ code: 0 });
    // It copies without a pause meanwhile.
    const copies = Array.from({ length: COPIES }, () => 'echo').join('\n');
    await eventually(
      async () => {
        expect(await living.ask(copies)).toBe('ok');
        return (await sessionsOf(serve))[0]?.channel;
      },
      (channel) => channel === 'vsock',
      WAIT_MS,
    );
    expect(await living.ask(copies)).toBe('ok');
    const { code, output } = await living.end();
    const [greeting, ...answers] = output.trimEnd().split('\n');
    expect([code, greeting?.startsWith('vGPU: '), new Set(answers)]).toEqual([0, true, new Set(['ok'])]);
    expect(await copiesOver('moved')).toBe('vsock');
  },
  TEST_MS,
);

test(
  'what is detached leaves nothing in the guest and nothing beside it',
  async () => {
    expect(await aquiferGuest('detach', 'vm1')).toMatchObject({ code: 0 });
    expect(await ticketDisk()).toBe('');
    expect(await aquiferGuest('list')).toMatchObject({ stdout: '', stderr: 'No guest has a claim.\n' });
    expect(await copiesOver('detached')).toBe('tcp');
  },
  TEST_MS,
);

/** What `aquifer-connector guest` is told, so that it shares nothing with another one of this guest. */
const places = (name: string): string =>
  `--state-dir /var/lib/${name} --run-dir /run/${name} --cdi-dir /run/${name}/cdi --ask vsock:2:9960`;

test(
  'a guest asks its host for the ticket that it is offered, and nobody else gets it',
  async () => {
    const attached = await aquiferGuest('attach', 'vm1', '--claim', 'trainer', '--qmp', guest.qmpSocket, '--offer');
    expect(attached).toMatchObject({ code: 0, stderr: expect.stringContaining('asks for its ticket by itself') });
    expect((await aquiferGuest('list')).stdout).toMatch(/vm1 .* Offered +Attached\n/);
    expect(await ticketDisk()).toBe('');
    // Until the guest's kernel has found the device there is nobody to ask: it is started again, as by systemd.
    const keepsAsking = `until aquifer-connector guest ${places('own')}; do sleep 1; done`;
    const own = await startJob(guest, 'own', keepsAsking);
    await eventually(
      () => own.output(),
      (said) => said.includes('ready'),
      WAIT_MS,
    );
    const key = (await guest.exec('aquifer-connector key --state-dir /var/lib/own')).trim();
    expect((await aquiferGuest('list')).stdout).toMatch(new RegExp(`vm1 .* Taken by ${key} +Attached\n`));
    const thief = await guest.attempt(`aquifer-connector guest ${places('thief')} 2>&1`);
    expect(thief).toMatchObject({ code: 1, output: expect.stringContaining(`taken by another key, ${key}`) });

    // SIGTERM ends it well, and with it the loop.
    await guest.exec(`kill $(sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p' /run/own/connector.json)`);
    expect(await own.ended()).toMatchObject({ code: 0 });
    expect(await guest.exec('stat -c %a /var/lib/own/ticket.json')).toBe('600\n');
    const words = '--ticket /var/lib/own/ticket.json --socket /run/own.sock --state-dir /var/lib/own';
    await startJob(guest, 'again', `exec aquifer-connector ${words}`);
    await guest.exec('for i in $(seq 300); do [ -S /run/own.sock ] && break; sleep 0.2; done');
    socket = '/run/own.sock';
    expect(await copiesOver('own')).toBe('vsock');
    expect(await aquiferGuest('detach', 'vm1')).toMatchObject({ code: 0 });
  },
  TEST_MS,
);
