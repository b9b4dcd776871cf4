import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { claim, POOL, sessionsOf } from '../support/objects.ts';
import type { Serve } from '../support/serve.ts';
import { GATEWAY_PORT, giveTicket, offerClaim, serveOn } from './guest-claim.ts';
import { GuestHost } from './guest-host.ts';
import { startGuestProgram, type GuestProgram } from './guest-program.ts';
import type { Guest } from './guest.ts';
import { startJob } from './job.ts';
import { PROGRAMS_ROOT } from './product-disk.ts';

const LONG_MS = 600_000;
/** How much the gateway's memory may grow by, whatever a guest does. */
const GROWTH_KIB = 96 << 10;

let host: GuestHost;
let serve: Serve;
/** Whoever is root in it means ill. */
let hostile: Guest;
let honest: Guest;
let program: GuestProgram;
let started = 0;

beforeAll(async () => {
  host = await GuestHost.up();
  serve = await serveOn(host, { softwareGpus: '1x1Gi' });
  [hostile, honest] = await Promise.all([host.boot(1), host.boot(2)]);
  const manifest = [POOL, claim('hostile', '256Mi', 20), claim('honest', '512Mi', 50)].join('---\n');
  expect(await serve.cli(['apply', '-f', '-'], { stdin: manifest })).toMatchObject({ code: 0, stderr: '' });
  await Promise.all([giveTicket(serve, hostile, 'hostile'), giveTicket(serve, honest, 'honest')]);
  const sockets = await Promise.all([offerClaim(hostile), offerClaim(honest)]);
  program = await startGuestProgram(honest, 'honest', sockets[1]);
}, LONG_MS);

afterAll(async () => {
  await serve[Symbol.asyncDispose]();
  await host.down();
}, 120_000);

const connect = `nc 10.77.0.1 ${GATEWAY_PORT}`;

/** Another guest's program computes on, and one that comes now is served. */
async function othersAreServed(): Promise<void> {
  expect(await program.ask('histogram')).toBe('ok');
  started += 1;
  const another = await startGuestProgram(honest, `another-${started}`, '/run/aquifer/session.sock');
  expect(await another.ask('echo')).toBe('ok');
  expect(await another.end()).toMatchObject({ code: 0 });
}

function gateway(): { readonly pid: number; readonly residentKiB: number } {
  const { pid } = JSON.parse(readFileSync(join(serve.dataDir, 'run/gateway.json'), 'utf8')) as { readonly pid: number };
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return { pid, residentKiB: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) };
}

/** Does something in the hostile guest; the gateway is the same afterwards, and no larger than it may be. */
async function unharmedBy(attack: () => Promise<unknown>): Promise<void> {
  const before = gateway();
  await attack();
  await othersAreServed();
  const after = gateway();
  expect(after.pid).toBe(before.pid);
  expect(after.residentKiB - before.residentKiB).toBeLessThan(GROWTH_KIB);
}

test(
  'garbage without an end is cut off',
  async () => {
    await unharmedBy(() =>
      hostile.exec(`for i in 1 2 3; do timeout 60 ${connect} </dev/urandom >/dev/null; [ $? != 143 ] || exit 1; done`),
    );
  },
  LONG_MS,
);

test(
  'a connection that says one byte a second is ended',
  async () => {
    const drip = await startJob(hostile, 'drip', `(while printf x; do sleep 1; done) | ${connect}`);
    await unharmedBy(() => drip.ended(120_000));
  },
  LONG_MS,
);

test(
  'ten thousand connections keep nobody else out',
  async () => {
    const hoard = `${PROGRAMS_ROOT}/usr/local/bin/hoard ${host.address} ${GATEWAY_PORT} 10000`;
    await unharmedBy(async () => {
      const job = await startJob(hostile, 'hoard', `exec timeout 240 ${hoard}`);
      const deadline = Date.now() + 240_000;
      while (!(await job.output()).includes('connections') && Date.now() < deadline) await othersAreServed();
      expect(await job.output()).toBe('10000 connections\n');
      await othersAreServed();
      await hostile.exec('killall hoard');
    });
  },
  LONG_MS,
);

test(
  'the ticket of another claim, taken once its owner had it, opens nothing',
  async () => {
    await giveTicket(serve, honest, 'honest'); // Its connector has another one already, and leaves this.
    const stolen = await honest.exec('cat /etc/aquifer/ticket.json');
    const owner = await startJob(
      honest,
      'owner',
      `aquifer-connector --ticket /etc/aquifer/ticket.json --socket /run/owner.sock`,
    );
    const early = await startGuestProgram(honest, 'early', '/run/owner.sock').catch(async () => {
      throw new Error(await owner.output());
    });
    expect(await early.end()).toMatchObject({ code: 0 });
    await hostile.write('/etc/aquifer/stolen.json', stolen);
    await startJob(
      hostile,
      'thief',
      'aquifer-connector --ticket /etc/aquifer/stolen.json --socket /run/thief.sock --state-dir /run/thief',
    );
    await hostile.exec('for i in $(seq 100); do [ -e /run/thief.sock ] && break; sleep 0.2; done');
    await unharmedBy(async () => {
      await expect(startGuestProgram(hostile, 'thief-program', '/run/thief.sock')).rejects.toThrow(/TicketExchanged/);
    });
  },
  LONG_MS,
);

test(
  'a program that stops in the middle of its work, and reads no more, stops itself alone',
  async () => {
    const stopped = await startGuestProgram(hostile, 'stopped', '/run/aquifer/session.sock');
    await unharmedBy(async () => {
      await hostile.exec('killall -STOP session');
      for (let times = 0; times < 50; times += 1) await stopped.tell('echo');
    });
    await hostile.exec('killall -CONT session');
    expect(await stopped.answer()).toBe('ok');
    await stopped.end();
    expect(await sessionsOf(serve)).toHaveLength(1);
  },
  LONG_MS,
);
