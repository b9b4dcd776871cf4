import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { claim, POOL, sessionsOf } from '../support/objects.ts';
import { workersOf, type Serve } from '../support/serve.ts';
import { giveTicket, offerClaim, serveOn } from './guest-claim.ts';
import { GuestHost } from './guest-host.ts';
import { startGuestProgram, type GuestProgram } from './guest-program.ts';
import type { Guest } from './guest.ts';

const LONG_MS = 600_000;

let host: GuestHost;
let serve: Serve;
/** Two guests, each with a claim of its own on the same GPU, and a program that has a session all the time. */
let guests: readonly Guest[];
let sockets: readonly string[];
let programs: readonly GuestProgram[];
let started = 0;

beforeAll(async () => {
  host = await GuestHost.up();
  serve = await serveOn(host, { softwareGpus: '1x1Gi' });
  guests = await Promise.all([host.boot(1), host.boot(2)]);
  const manifest = [POOL, claim('claim-1', '512Mi', 50), claim('claim-2', '512Mi', 50)].join('---\n');
  expect(await serve.cli(['apply', '-f', '-'], { stdin: manifest })).toMatchObject({ code: 0, stderr: '' });
  const offers = guests.map(async (guest, at) => {
    await giveTicket(serve, guest, `claim-${at + 1}`);
    return offerClaim(guest);
  });
  sockets = await Promise.all(offers);
  programs = await Promise.all([newProgram(0), newProgram(1)]);
}, LONG_MS);

afterAll(async () => {
  await serve[Symbol.asyncDispose]();
  await host.down();
}, 120_000);

const newProgram = (at: number): Promise<GuestProgram> => {
  started += 1;
  return startGuestProgram(at === 0 ? one() : two(), `program-${started}`, sockets[at] ?? '');
};
const one = (): Guest => guests[0] as Guest;
const two = (): Guest => guests[1] as Guest;
const pidOf = (name: string): number =>
  (JSON.parse(readFileSync(join(serve.dataDir, 'run', `${name}.json`), 'utf8')) as { readonly pid: number }).pid;

async function bothCompute(): Promise<void> {
  expect(await Promise.all(programs.map((program) => program.ask('histogram')))).toEqual(['ok', 'ok']);
}

/** A program that comes now gets a session, computes, and ends. */
async function anotherComputes(): Promise<void> {
  const program = await newProgram(0);
  expect(await program.ask('echo')).toBe('ok');
  expect(await program.end()).toMatchObject({ code: 0 });
}

test(
  'two guests on one GPU: neither has more than its claim, whatever it asks for',
  async () => {
    await bothCompute();
    const greedy = await newProgram(0);
    expect(await greedy.ask('alloc 600')).toBe('CUDA_ERROR_OUT_OF_MEMORY');
    expect(await greedy.ask('alloc 400')).toBe('ok');
    expect(await greedy.ask('alloc 200')).toBe('CUDA_ERROR_OUT_OF_MEMORY');
    const other = await newProgram(1);
    expect(await other.ask('alloc 400')).toBe('ok');
    expect(await other.end()).toMatchObject({ code: 0 });
    expect(await greedy.end()).toMatchObject({ code: 0 });
  },
  LONG_MS,
);

test(
  'the connector of a guest is killed: its programs compute on, new ones wait for the next',
  async () => {
    await one().exec('killall -9 aquifer-connector; while pidof aquifer-connector; do sleep 0.1; done');
    await bothCompute();
    await expect(newProgram(0)).rejects.toThrow(/no vGPU/);
    await offerClaim(one());
    await anotherComputes();
    await bothCompute();
  },
  LONG_MS,
);

test.each(['gateway', 'spawner'])(
  'the %s is killed: programs of guests compute on, and new ones are served',
  async (name) => {
    const pid = pidOf(name);
    process.kill(pid, 'SIGKILL');
    await eventually(
      () => pidOf(name),
      (now) => now !== pid,
      60_000,
    );
    await bothCompute();
    await anotherComputes();
  },
  LONG_MS,
);

test(
  'the worker of a program is killed: that program is told, all others compute on',
  async () => {
    const before = new Set(workersOf(serve.dataDir));
    const program = await newProgram(0);
    const [worker] = workersOf(serve.dataDir).filter((pid) => !before.has(pid));
    process.kill(worker ?? 0, 'SIGKILL');
    expect(await program.ask('echo')).toBe('CUDA_ERROR_DEVICE_UNAVAILABLE');
    await program.end();
    await bothCompute();
    await anotherComputes();
    expect(await sessionsOf(serve)).toHaveLength(2);
  },
  LONG_MS,
);

test.each([1000, 10_000, 60_000])(
  'a network that is cut for %d ms delays what a program waits for, and no more',
  async (ms) => {
    const [program] = programs;
    await one().cutNetwork();
    await program?.tell('histogram');
    await sleep(ms);
    // The other guest has a network.
    expect(await programs[1]?.ask('histogram')).toBe('ok');
    await one().mendNetwork();
    expect(await program?.answer()).toBe('ok');
    await bothCompute();
  },
  LONG_MS,
);

test(
  'a guest that is paused for a minute goes on where it was',
  async () => {
    await one().pause();
    await sleep(60_000);
    expect(await programs[1]?.ask('histogram')).toBe('ok');
    await one().continue();
    await bothCompute();
  },
  LONG_MS,
);
