import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { compileTestProgram } from '../support/example-programs.ts';
import { claim, POOL, programsAtWork, promisedBy, sessionsOf } from '../support/objects.ts';
import { processesLeft, startServe, type Running, type Serve } from '../support/serve.ts';

jest.setTimeout(180_000);

let serve: Serve;
let directory: string;
let program: string;
/** Two programs that compute all the time, one of them as from another host. */
let programs: readonly Running[];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'aq-restarts-'));
  program = compileTestProgram('steady', directory);
  serve = await startServe();
  const stdin = [POOL, claim('local', '1Gi', 30), claim('remote', '1Gi', 30)].join('---\n');
  expect(await serve.cli(['apply', '-f', '-'], { stdin })).toMatchObject({ code: 0, stderr: '' });
  programs = await startPrograms();
});

afterAll(async () => {
  await serve[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

/** A command that runs a program with a new ticket and nothing else of this host. */
async function fromAnotherHost(args: readonly string[]) {
  const ticket = join(directory, 'ticket.json');
  writeFileSync(ticket, (await serve.cli(['ticket', 'remote'])).stdout);
  const env = { XDG_STATE_HOME: join(directory, 'other-host'), AQUIFER_DATA_DIR: '/nonexistent' };
  return [['run', '--ticket', ticket, '--', program, ...args], { env }] as const;
}

async function startPrograms(): Promise<readonly Running[]> {
  expect(await serve.cli(['run', '--claim', 'remote', '--', 'true'])).toMatchObject({ code: 0 }); // Waits until it is bound.
  const started = [
    serve.start(['run', '--claim', 'local', '--', program]),
    serve.start(...(await fromAnotherHost([]))),
  ];
  await programsAtWork(serve, 2);
  return started;
}

const PROMISED = { memory: '2Gi', compute: 60 };

/** What must be the same whatever was killed: the sessions, and what the pool has promised. */
async function standing(): Promise<unknown> {
  const sessions = await eventually(
    () => sessionsOf(serve),
    (now) => now.length === 2,
  );
  const views = sessions.map(({ session, claim: of, pid, channel, vgpus }) => ({
    session,
    claim: of,
    pid,
    channel,
    vgpus: vgpus.map(({ gpu, memoryLimitBytes, computePercent }) => ({ gpu, memoryLimitBytes, computePercent })),
  }));
  return { sessions: views.toSorted((a, b) => a.claim.localeCompare(b.claim)), promised: await promisedBy(serve) };
}

/** GPU time that each session has used. */
const busyOf = async (): Promise<Readonly<Record<string, bigint>>> =>
  Object.fromEntries((await sessionsOf(serve)).map((it) => [it.session, BigInt(it.vgpus[0]?.busyNs ?? 0)]));

/** The programs go on computing: their GPU time grows. */
async function computing(since: Readonly<Record<string, bigint>>): Promise<void> {
  await eventually(busyOf, (now) => Object.entries(since).every(([session, busy]) => (now[session] ?? 0n) > busy));
}

/** A program that comes now gets its session and computes, here and on another host. */
async function newSessionsWork(): Promise<void> {
  const good = { code: 0, stdout: expect.stringContaining('steady: 3 rounds, 0 wrong') };
  expect(await serve.cli(['run', '--claim', 'local', '--', program, '3'])).toMatchObject(good);
  expect(await serve.cli(...(await fromAnotherHost(['3'])))).toMatchObject(good);
}

const pidOf = (name: string): number =>
  (JSON.parse(readFileSync(join(serve.dataDir, 'run', `${name}.json`), 'utf8')) as { readonly pid: number }).pid;

describe('serve is killed while programs compute', () => {
  test.each([0, 300, 2000])('%d ms after it was ready, and the next has their sessions', async (ms) => {
    const [before, busy] = [await standing(), await busyOf()];
    await sleep(ms);
    await serve.crash();
    expect(await serve.cli(['sessions'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no aquifer serve'),
    });
    serve = await startServe({ dataDir: serve.dataDir });
    expect(await standing()).toEqual(before);
    await computing(busy);
    expect((before as { promised: unknown }).promised).toEqual(PROMISED);
  });

  test.each([50, 200, 400, 800])('%d ms after its start, in the midst of taking over', async (ms) => {
    const [before, busy] = [await standing(), await busyOf()];
    await serve.crash();
    const words = ['serve', '--software-gpus', '1x4Gi', '--listen', '127.0.0.1:0', '--node-name', 'gpu-1'];
    const starting = serve.start(words);
    await sleep(ms);
    starting.child.kill('SIGKILL');
    await starting.ended;
    serve = await startServe({ dataDir: serve.dataDir });
    expect(await standing()).toEqual(before);
    await computing(busy);
    await newSessionsWork();
  });
});

describe('a native process is killed: no program is cut, another takes its place', () => {
  test.each(['gateway', 'connector', 'spawner'])('%s', async (name) => {
    const [before, busy, pid] = [await standing(), await busyOf(), pidOf(name)];
    process.kill(pid, 'SIGKILL');
    await eventually(
      () => pidOf(name),
      (now) => now !== pid,
    );
    await newSessionsWork();
    expect(await standing()).toEqual(before);
    await computing(busy);
  });

  test('all of them and serve', async () => {
    const [before, busy] = [await standing(), await busyOf()];
    for (const name of ['gateway', 'connector', 'spawner']) process.kill(pidOf(name), 'SIGKILL');
    await serve.crash();
    serve = await startServe({ dataDir: serve.dataDir });
    await newSessionsWork();
    expect(await standing()).toEqual(before);
    await computing(busy);
  });
});

test('after all of this both programs have computed without a wrong number', async () => {
  for (const { child } of programs) child.kill('SIGTERM');
  for (const { ended } of programs) {
    expect(await ended).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/\nsteady: [1-9][0-9]* rounds, 0 wrong\n$/),
    });
  }
  await eventually(
    () => sessionsOf(serve),
    (now) => now.length === 0,
  );
});

describe('serve is stopped', () => {
  test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('by %s: programs are told, nothing is left', async (signal) => {
    const dataDir = join(directory, signal);
    const own = await startServe({ dataDir });
    await own.cli(['apply', '-f', '-'], { stdin: `${POOL}---\n${claim('local', '1Gi', 30)}` });
    const running = own.start(['run', '--claim', 'local', '--', program]);
    await programsAtWork(own);
    const [ran] = await Promise.all([running.ended, own.stop(signal)]);
    expect(ran).toMatchObject({ code: 1, stderr: expect.stringContaining('CUDA_ERROR_DEVICE_UNAVAILABLE (46)') });
    expect(await processesLeft(dataDir)).toEqual([]);
  });

  test('not by SIGHUP where nohup started it', async () => {
    const own = await startServe({ dataDir: join(directory, 'nohup'), under: ['nohup'] });
    process.kill(own.pid, 'SIGHUP');
    expect(await own.cli(['sessions'])).toMatchObject({ code: 0 });
    await own.stop();
  });
});

test('of two that start at once on one data directory, one serves and the other names it', async () => {
  const dataDir = join(directory, 'twice');
  const [one, other] = await Promise.allSettled([startServe({ dataDir }), startServe({ dataDir })]);
  const served = [one, other].flatMap((it) => (it.status === 'fulfilled' ? [it.value] : []));
  const refused = [one, other].flatMap((it) => (it.status === 'rejected' ? [String(it.reason)] : []));
  expect([served.length, refused.length]).toEqual([1, 1]);
  expect(refused[0]).toContain(`is in use by process ${served[0]?.pid}: stop it, or choose another directory`);
  expect(await served[0]?.cli(['sessions'])).toMatchObject({ code: 0 });
  await served[0]?.stop();
});
