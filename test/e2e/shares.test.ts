import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startConnector, type ConnectorProcess } from '../support/connector-process.ts';
import { eventually } from '../support/eventually.ts';
import { compileTestProgram, KERNELS } from '../support/example-programs.ts';
import { claim, POOL, programsAtWork, sessionsOf } from '../support/objects.ts';
import { PREFIX, runProgram, startServe, type Running, type Serve } from '../support/serve.ts';
import {
  compileSessionProgram,
  startSession,
  startSessionAt,
  type SessionProgram,
} from '../support/session-program.ts';

const NESTED =
  'nested: {shares: [{name: small, memory: 512Mi, compute: 25}, {name: half, memory: 1Gi, compute: 50, maxSessions: 2}], ' +
  'defaultShare: small}';
const OUT_OF_MEMORY = 'CUDA_ERROR_OUT_OF_MEMORY';

let serve: Serve;
let directory: string;
let program: string;
let count = 0;
const connectors: ConnectorProcess[] = [];
const running: SessionProgram[] = [];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'aq-shares-'));
  program = compileSessionProgram(directory);
  serve = await startServe();
  const divided = claim('trainer', '2Gi', 75).replace('spec: {', `spec: {${NESTED}, `);
  const applied = await serve.cli(['apply', '-f', '-'], { stdin: POOL + '---\n' + divided });
  expect(applied).toMatchObject({ code: 0, stderr: '' });
}, 60_000);

afterEach(async () => {
  for (const one of running.splice(0)) one.kill();
  await eventually(
    () => sessionsOf(serve),
    (now) => now.length === 0,
  );
  for (const connector of connectors.splice(0)) await connector.stop('SIGTERM');
}, 60_000);

afterAll(async () => {
  await serve[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

/** The socket of a connector with a key of its own: what comes through it is one container. */
async function container(...flags: readonly string[]): Promise<string> {
  const own = join(directory, String((count += 1)));
  const { stdout, stderr } = await serve.cli(['ticket', 'trainer']);
  expect(stderr).toBe('');
  writeFileSync(`${own}.json`, stdout, { mode: 0o600 });
  connectors.push(await startConnector(`${own}.json`, `${own}.sock`, `${own}.state`, flags));
  return `${own}.sock`;
}

async function startIn(socket: string): Promise<SessionProgram> {
  const started = await startSessionAt(socket, program);
  running.push(started);
  return started;
}

test('the memory of a share is for all programs of a container, and another container has its own', async () => {
  const [small, half] = [await container('--share', 'small'), await container('--share', 'half')];
  const [one, two, other] = [await startIn(small), await startIn(small), await startIn(half)];
  expect(await one.ask('alloc 300')).toBe('ok');
  expect(await two.ask('alloc 300')).toBe(OUT_OF_MEMORY);
  expect(await two.ask('alloc 100')).toBe('ok');
  expect(await other.ask('alloc 900')).toBe('ok');
  expect(await other.ask('alloc 900')).toBe(OUT_OF_MEMORY);
  one.kill();
  await eventually(
    () => two.ask('alloc 200'),
    (said) => said === 'ok',
  );
  const shares = (await sessionsOf(serve)).map(({ container: of, vgpus }) => [of?.share, vgpus[0]?.memoryLimitBytes]);
  expect(shares).toEqual(
    expect.arrayContaining([
      ['small', 2 ** 29],
      ['half', 2 ** 30],
    ]),
  );
}, 120_000);

test('the bound of the claim holds whoever asks', async () => {
  const whole = await startSession(serve, program, ['--claim', 'trainer']);
  running.push(whole);
  const small = await startIn(await container('--share', 'small'));
  expect(await whole.ask('alloc 1800')).toBe('ok');
  expect(await small.ask('alloc 400')).toBe(OUT_OF_MEMORY);
  expect(await small.ask('alloc 100')).toBe('ok');
  expect(await whole.ask('alloc 400')).toBe(OUT_OF_MEMORY);
}, 120_000);

test('a share that cannot be had is refused in words', async () => {
  const unknown = await container('--share', 'huge');
  await expect(startSessionAt(unknown, program)).rejects.toThrow(
    /the claim has no share "huge"; its shares are small, half/,
  );
  const half = await container('--share', 'half');
  await startIn(half);
  const another = await container('--share', 'half');
  await expect(startSessionAt(another, program)).rejects.toThrow(/there is no room for the share half/);
  await startIn(half);
  await expect(startSessionAt(half, program)).rejects.toThrow(/the container has its 2 sessions already/);
}, 120_000);

test('shares are known to a backend that starts anew', async () => {
  const half = await container('--share', 'half');
  const first = await startIn(half);
  expect(await first.ask('alloc 900')).toBe('ok');
  await serve.crash();
  serve = await startServe({ dataDir: serve.dataDir });
  await eventually(
    () => sessionsOf(serve),
    ([session]) => session?.container?.share === 'half',
  );
  const another = await container('--share', 'half');
  await expect(startSessionAt(another, program)).rejects.toThrow(/there is no room for the share half/);
}, 120_000);

test('the compute of a share is a cap for all programs of a container', async () => {
  const saturate = compileTestProgram('saturate', directory);
  const [small, half] = [await container('--share', 'small'), await container('--share', 'half')];
  const start = (AQUIFER_SOCKET: string): Running =>
    runProgram(saturate, [KERNELS], { env: { AQUIFER_SOCKET, LD_LIBRARY_PATH: join(PREFIX, 'lib/aquifer/client') } });
  const programs = [small, small, half].map(start);
  try {
    await programsAtWork(serve, 3);
    const before = await busyByShare();
    await new Promise((wake) => setTimeout(wake, 4000));
    const after = await busyByShare();
    const percentOf = (share: string): number =>
      (100 * ((after.busyNs.get(share) ?? 0) - (before.busyNs.get(share) ?? 0))) / (after.atNs - before.atNs);
    // However busy this machine is, nobody has more: a window of saved budget and a kernel are the margin.
    expect(percentOf('small')).toBeLessThan(25 + 5);
    expect(percentOf('half')).toBeLessThan(50 + 5);
    expect(percentOf('small')).toBeGreaterThan(0);
    expect(percentOf('half')).toBeGreaterThan(percentOf('small'));
  } finally {
    for (const { child } of programs) child.kill('SIGKILL');
    await Promise.all(programs.map(({ ended }) => ended));
  }
}, 120_000);

async function busyByShare(): Promise<{ readonly atNs: number; readonly busyNs: ReadonlyMap<string, number> }> {
  const busyNs = new Map<string, number>();
  for (const { container: of, vgpus } of await sessionsOf(serve)) {
    const share = of?.share ?? '';
    busyNs.set(share, (busyNs.get(share) ?? 0) + Number(vgpus[0]?.busyNs ?? 0));
  }
  return { atNs: performance.now() * 1e6, busyNs };
}
