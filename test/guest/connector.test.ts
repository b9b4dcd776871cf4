import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { startPlainContainer, type PlainContainer } from '../support/guest-containers.ts';
import { claim, POOL, sessionsOf } from '../support/objects.ts';
import { PREFIX, runProgram, startServe, type Ran, type Serve } from '../support/serve.ts';
import { compileSessionProgram, startSessionAt, type SessionProgram } from '../support/session-program.ts';

const NESTED = 'nested: {shares: [{name: small, memory: 512Mi, compute: 25}, {name: half, memory: 1Gi, compute: 50}]}';
const CONNECTOR = join(PREFIX, 'bin/aquifer-connector');
const LONG_MS = 120_000;
/** Root without any capability, as the systemd unit has it. */
const WITHOUT_PRIVILEGES = ['--bounding-set=-all', '--inh-caps=-all', '--no-new-privs'];
/** What a guest of little memory can spare. */
const MAX_RESIDENT_BYTES = 10 * 2 ** 20;

let serve: Serve;
let directory: string;
let program: string;
let connector: ReturnType<typeof runProgram>;
const containers: PlainContainer[] = [];
const running: SessionProgram[] = [];

const at = (name: string): string => join(directory, name);
const control = (): string => at('run/control.sock');
const socket = (): string => at('run/sessions/session.sock');

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'aq-guest-'));
  program = compileSessionProgram(directory);
  serve = await startServe();
  const divided = claim('trainer', '2Gi', 75).replace('spec: {', `spec: {${NESTED}, `);
  expect(await serve.cli(['apply', '-f', '-'], { stdin: `${POOL}---\n${divided}` })).toMatchObject({ stderr: '' });
  await putTicket('30s');
  await startGuestConnector();
}, LONG_MS);

afterEach(async () => {
  for (const one of running.splice(0)) one.kill();
  for (const container of containers.splice(0)) await container[Symbol.asyncDispose]();
  await eventually(
    () => sessionsOf(serve),
    (now) => now.length === 0,
  );
}, LONG_MS);

afterAll(async () => {
  connector.child.kill('SIGTERM');
  await connector.ended;
  await serve[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
}, LONG_MS);

async function putTicket(expires: string): Promise<void> {
  const { stdout, stderr } = await serve.cli(['ticket', 'trainer', '--expires', expires]);
  expect(stderr).toBe('');
  writeFileSync(at('ticket.json'), stdout, { mode: 0o600 });
}

const flags = (): string[] =>
  Object.entries({
    ticket: at('ticket.json'),
    'run-dir': at('run'),
    'state-dir': at('state'),
    'cdi-dir': at('cdi'),
    install: at('opt'),
  }).flatMap(([name, value]) => [`--${name}`, value]);

async function startGuestConnector(): Promise<void> {
  connector = runProgram('setpriv', [...WITHOUT_PRIVILEGES, CONNECTOR, 'guest', ...flags()]);
  let said = '';
  connector.child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await eventually(
    () => said,
    (text) => / ready /.test(text) || connector.child.exitCode !== null,
  );
  if (connector.child.exitCode !== null) throw new Error(said);
}

const residentBytes = (pid: number): number =>
  Number(/VmRSS:\s+([0-9]+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

async function container(id: string): Promise<PlainContainer> {
  const started = await startPlainContainer(id);
  containers.push(started);
  return started;
}

async function registered(id: string, share?: string): Promise<PlainContainer> {
  const started = await container(id);
  expect(await started.register(control(), share)).toMatchObject({ code: 0, stderr: '' });
  return started;
}

/** The containers that a connector would take up if it started now. */
const registeredNames = (): readonly string[] =>
  (JSON.parse(readFileSync(at('state/containers-guest.json'), 'utf8')) as readonly { readonly id: string }[]).map(
    ({ id }) => id,
  );

async function startIn({ enter }: PlainContainer): Promise<SessionProgram> {
  const started = await startSessionAt(socket(), program, enter);
  running.push(started);
  return started;
}

test(
  'containers have their shares, each told by its cgroup at one socket',
  async () => {
    const [small, half] = [await registered('web', 'small'), await registered('train', 'half')];
    const [one, two, other] = [await startIn(small), await startIn(small), await startIn(half)];
    expect(await one.ask('alloc 300')).toBe('ok');
    expect(await two.ask('alloc 300')).toBe('CUDA_ERROR_OUT_OF_MEMORY');
    expect(await other.ask('alloc 900')).toBe('ok');
    const seen = (await sessionsOf(serve)).map(({ container: of }) => `${of?.id ?? ''} ${of?.share ?? ''}`);
    expect(seen.toSorted()).toEqual(['train half', 'web small', 'web small']);
  },
  LONG_MS,
);

test(
  'who was not registered has nothing, wherever it runs',
  async () => {
    const stranger = await container('stranger');
    const refusal = /this program is in no container that was started with a device aquifer.dev\/vgpu/;
    await expect(startSessionAt(socket(), program, stranger.enter)).rejects.toThrow(refusal);
    await expect(startSessionAt(socket(), program)).rejects.toThrow(refusal);
  },
  LONG_MS,
);

test(
  'a container is registered once, with a cgroup of its own',
  async () => {
    const web = await registered('web', 'small');
    const again = await web.register(control(), 'half');
    expect(again).toMatchObject({ code: 1 });
    expect(again.stderr).toMatch(/container web is registered already: a container has one device/);
    // In the cgroup of whoever runs the tests, as with --cgroups=disabled.
    const state = JSON.stringify({ id: 'bare', pid: process.pid });
    const bare = await runProgram(CONNECTOR, ['hook', '--control', control()], { stdin: state }).ended;
    expect(bare).toMatchObject({ code: 1 });
    expect(bare.stderr).toMatch(/the container has no cgroup of its own/);
  },
  LONG_MS,
);

test(
  'a container that connects without end leaves the others their places',
  async () => {
    const [flood, web] = [await registered('flood', 'half'), await registered('web', 'small')];
    const [shell = '', ...words] = flood.enter;
    const script = `const { connect } = require('node:net');
    let made = 0;
    const next = () => {
      if ((made += 1) === 500) console.log('500 connections');
      connect(${JSON.stringify(socket())}).on('error', () => {}).on('connect', next).on('close', next);
    };
    next();`;
    const flooding = runProgram(shell, [...words, process.execPath, '-e', script]);
    await once(flooding.child.stdout ?? process.stdin, 'data');
    const good = await startIn(web);
    expect(await good.ask('echo')).toBe('ok');
    expect(residentBytes(connector.child.pid ?? 0)).toBeLessThan(MAX_RESIDENT_BYTES);
    flooding.child.kill('SIGKILL');
    await flooding.ended;
  },
  LONG_MS,
);

test(
  'containers and their programs outlive a connector that is killed',
  async () => {
    const web = await registered('web', 'small');
    const before = await startIn(web);
    expect(await before.ask('alloc 300')).toBe('ok');
    connector.child.kill('SIGKILL');
    await connector.ended;
    expect(await before.ask('echo')).toBe('ok');
    await startGuestConnector();
    const after = await startIn(web);
    expect(await after.ask('alloc 300')).toBe('CUDA_ERROR_OUT_OF_MEMORY');
    expect(await before.ask('echo')).toBe('ok');
  },
  LONG_MS,
);

test(
  'the end of a container is the end of its sessions',
  async () => {
    const web = await registered('web', 'small');
    await startIn(web);
    process.kill(web.pid, 'SIGKILL');
    await eventually(
      () => sessionsOf(serve),
      (now) => now.length === 0,
    );
  },
  LONG_MS,
);

test(
  'a container has the share of one that has just ended',
  async () => {
    const before = await registered('before', 'half');
    await startIn(before);
    const next = await registered('next', 'half');
    await expect(startIn(next)).rejects.toThrow(/there is no room for the share half/);
    process.kill(before.pid, 'SIGKILL');
    await eventually(
      () => registeredNames(),
      (names) => !names.includes('before'),
    );
    const last = await startIn(next);
    expect(await last.ask('alloc 900')).toBe('ok');
  },
  LONG_MS,
);

test(
  'the ticket file is renewed in place, stays private, and another one is taken up',
  async () => {
    const first = readFileSync(at('ticket.json'), 'utf8');
    await putTicket('4s');
    const short = readFileSync(at('ticket.json'), 'utf8');
    const renewed = await eventually(
      () => readFileSync(at('ticket.json'), 'utf8'),
      (now) => now !== short && now !== first,
      LONG_MS,
    );
    expect(Object.keys(JSON.parse(renewed) as object)).toEqual(Object.keys(JSON.parse(first) as object));
    expect(statSync(at('ticket.json')).mode & 0o777).toBe(0o600);
  },
  LONG_MS,
);

test(
  'a ticket that is handed over anew at each start does not take the place of the newer one',
  async () => {
    await putTicket('10m');
    const handedOver = readFileSync(at('ticket.json'), 'utf8');
    const exchanged = await eventually(
      () => readFileSync(at('ticket.json'), 'utf8'),
      (now) => now !== handedOver,
      LONG_MS,
    );
    connector.child.kill('SIGTERM');
    await connector.ended;
    writeFileSync(at('ticket.json'), handedOver);
    await startGuestConnector();
    expect(readFileSync(at('ticket.json'), 'utf8')).toBe(exchanged);
  },
  LONG_MS,
);

test(
  'what a container runtime needs is written down, and check says that all of it works',
  async () => {
    const file = at('cdi/aquifer.dev-vgpu-trainer.json');
    const { devices, kind } = JSON.parse(readFileSync(file, 'utf8')) as {
      readonly kind: string;
      readonly devices: readonly { readonly name: string }[];
    };
    expect(existsSync(at('opt/lib/aquifer/client/libcuda.so.1'))).toBe(true);
    expect(kind).toBe('aquifer.dev/vgpu');
    expect(devices.map(({ name }) => name)).toEqual(['trainer', 'trainer-small', 'trainer-half']);
    const checked: Ran = await runProgram(CONNECTOR, ['check', ...flags()]).ended;
    expect(checked.stdout).toMatch(/ok {3}the gateway of gpu-1 is reached/);
    expect(checked.stdout).toMatch(
      /ok {3}containers get it by --device aquifer.dev\/vgpu=trainer-small or aquifer.dev\/vgpu=trainer-half\n/,
    );
    writeFileSync(at('config.json'), JSON.stringify({ ociVersion: '1.0.2', root: { path: 'rootfs' } }));
    const oci = (device: string) => runProgram(CONNECTOR, ['oci', device, at('config.json'), ...flags()]).ended;
    expect(await oci('trainer-small')).toMatchObject({ code: 0, stderr: '' });
    expect(readFileSync(at('config.json'), 'utf8')).toContain('"--share"');
    expect((await oci('trainer-huge')).stderr).toMatch(/known here: trainer, trainer-half, trainer-small/);
  },
  LONG_MS,
);

test(
  'a peer that sends garbage or nothing is sent away',
  async () => {
    const peer = connect(socket());
    peer.write('\xff\xff\xff\xff garbage');
    peer.resume();
    await once(peer, 'close');
  },
  LONG_MS,
);
