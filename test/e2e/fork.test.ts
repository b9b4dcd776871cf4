import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { claim, POOL, sessionsOf } from '../support/objects.ts';
import { startServe, workersOf, type Serve } from '../support/serve.ts';
import { compileSessionProgram, startSession, type SessionProgram } from '../support/session-program.ts';

const MANIFEST = [POOL, claim('shared', '1Gi', 60), claim('neighbour', '256Mi', 20)].join('---\n');

let serve: Serve;
let directory: string;
let program: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'aq-fork-'));
  program = compileSessionProgram(directory);
  serve = await startServe();
  expect(await serve.cli(['apply', '-f', '-'], { stdin: MANIFEST })).toMatchObject({ code: 0, stderr: '' });
}, 60_000);

afterAll(async () => {
  await serve[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

const started: SessionProgram[] = [];

afterEach(async () => {
  // Each test has the claim to itself, also when the one before it failed.
  for (const one of started.splice(0)) one.kill();
  await allGone();
}, 60_000);

async function start(of = 'shared'): Promise<SessionProgram> {
  const session = await startSession(serve, program, ['--claim', of]);
  started.push(session);
  return session;
}

test('a child that was forked after cuInit outlives its parent: CUDA refuses it, and after exec it has a session', async () => {
  const parent = await start();
  expect(await parent.ask('echo')).toBe('ok');
  // CUDA does not survive a fork, and a child must not reach into the session of its parent.
  expect(await parent.ask('fork')).toBe('CUDA_ERROR_NOT_INITIALIZED CUDA_ERROR_NOT_INITIALIZED');
  const { code, stdout } = await parent.ended;
  expect(code).toBe(0);
  expect(stdout.split('\n').filter((line) => line.startsWith('vGPU: ')).length).toBe(2);
}, 60_000);

test('a program that is killed leaves neither a worker nor memory behind', async () => {
  const [doomed, neighbour] = [await start(), await start('neighbour')];
  expect(await doomed.ask('alloc 900')).toBe('ok');
  process.kill(doomed.pid, 'SIGKILL');
  expect((await doomed.ended).code).toBe(137);
  await eventually(
    () => workersOf(serve.dataDir),
    (now) => now.length === 1,
  );
  const next = await start();
  expect(await next.ask('alloc 900')).toBe('ok');
  expect(await neighbour.ask('histogram')).toBe('ok');
  await Promise.all([next.end(), neighbour.end()]);
}, 60_000);

test('a program that ends without cleaning up leaves nothing behind', async () => {
  const careless = await start();
  expect(await careless.ask('alloc 900')).toBe('ok');
  await expect(careless.ask('leave')).rejects.toThrow('has ended (0)');
  await allGone();
  const next = await start();
  expect(await next.ask('alloc 900')).toBe('ok');
  await next.end();
}, 60_000);

test('two processes share the memory of their claim, and what one gives back the other may have', async () => {
  const [one, other] = [await start(), await start()];
  expect(await one.ask('alloc 600')).toBe('ok');
  expect(await other.ask('alloc 600')).toBe('CUDA_ERROR_OUT_OF_MEMORY');
  expect(await other.ask('alloc 300')).toBe('ok');
  await one.end();
  await eventually(
    () => other.ask('alloc 600'),
    (answer) => answer === 'ok',
  );
  await other.end();
}, 60_000);

test('eight processes share a claim, all work, and together they have no more than it', async () => {
  const programs = await Promise.all(Array.from({ length: 8 }, () => start()));
  expect((await sessionsOf(serve)).length).toBe(8);
  const answers = await Promise.all(programs.map((it) => it.ask('alloc 150')));
  // 6 x 150 MiB fit into 1 GiB, 7 do not. What sessions hold ahead of use may cost the sixth.
  const had = answers.filter((it) => it === 'ok').length;
  expect([5, 6]).toContain(had);
  expect(answers.filter((it) => it === 'CUDA_ERROR_OUT_OF_MEMORY').length).toBe(8 - had);
  const counted = await Promise.all(programs.map((it) => it.ask('histogram')));
  expect(counted.every((it) => it === 'ok')).toBe(true);
  const ended = await Promise.all(programs.map((it) => it.end()));
  expect(ended.map(({ code }) => code)).toEqual(Array.from({ length: 8 }, () => 0));
}, 120_000);

test('a killed worker is a CUDA error for its program and nothing for the others', async () => {
  const neighbour = await start('neighbour');
  const before = workersOf(serve.dataDir);
  const struck = await start();
  const [worker] = workersOf(serve.dataDir).filter((pid) => !before.includes(pid));
  process.kill(worker ?? 0, 'SIGKILL');
  await eventually(
    () => struck.ask('echo'),
    (answer) => answer.startsWith('CUDA_ERROR_'),
  );
  expect(await neighbour.ask('histogram')).toBe('ok');
  await Promise.all([struck.end(), neighbour.end()]);
}, 60_000);

test('a stopped worker holds up its own program alone, and its end is a CUDA error', async () => {
  const neighbour = await start('neighbour');
  const before = workersOf(serve.dataDir);
  const struck = await start();
  const worker = workersOf(serve.dataDir).find((pid) => !before.includes(pid)) ?? 0;
  process.kill(worker, 'SIGSTOP');
  const answer = struck.ask('echo');
  expect(await neighbour.ask('histogram')).toBe('ok');
  const next = await start();
  expect(await next.ask('histogram')).toBe('ok');
  process.kill(worker, 'SIGKILL');
  expect(await answer).toMatch(/^CUDA_ERROR_/);
  await Promise.all([struck.end(), next.end(), neighbour.end()]);
}, 60_000);

test('a fault of the device reaches its programs as a CUDA error, and new ones work when it is gone', async () => {
  const fault = join(serve.dataDir, 'softgpu', 'fault-0');
  const struck = await start();
  expect(await struck.ask('echo')).toBe('ok');
  writeFileSync(fault, 'xid 48');
  try {
    await eventually(
      () => struck.ask('echo'),
      (answer) => answer === 'CUDA_ERROR_ECC_UNCORRECTABLE',
    );
  } finally {
    rmSync(fault);
  }
  // The context is poisoned for good, as CUDA has it.
  expect(await struck.ask('echo')).toBe('CUDA_ERROR_ECC_UNCORRECTABLE');
  await struck.end();
  const next = await start();
  expect(await next.ask('histogram')).toBe('ok');
  await next.end();
}, 60_000);

async function allGone(): Promise<void> {
  await eventually(
    () => workersOf(serve.dataDir),
    (now) => now.length === 0,
  );
}
