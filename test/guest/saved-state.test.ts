import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { claim, POOL, sessionsOf } from '../support/objects.ts';
import type { Serve } from '../support/serve.ts';
import { giveTicket, offerClaim, serveOn } from './guest-claim.ts';
import { GuestHost } from './guest-host.ts';
import { programIn, startGuestProgram, type GuestProgram } from './guest-program.ts';
import type { Guest } from './guest.ts';

const LONG_MS = 900_000;
/** Longer than any of these tests may take: no session ends because nobody came back to it. */
const GRACE_SECONDS = 1800;
/** Both ends give a connection up after 5 s of silence. */
const CUT_MS = 8000;

let host: GuestHost;
let guest: Guest;
let serve: Serve;
let socket: string;

beforeAll(async () => {
  host = await GuestHost.up();
  [guest, serve] = await Promise.all([host.boot(), serveOn(host)]);
  const lasting = claim('trainer', '1Gi', 75).replace('spec: {', `spec: {gracePeriodSeconds: ${GRACE_SECONDS}, `);
  expect(await serve.cli(['apply', '-f', '-'], { stdin: [POOL, lasting].join('---\n') })).toMatchObject({ code: 0 });
  await giveTicket(serve, guest, 'trainer');
  socket = await offerClaim(guest);
}, LONG_MS);

afterAll(async () => {
  await serve[Symbol.asyncDispose]();
  await host.down();
}, 120_000);

const sessionIds = async (): Promise<readonly string[]> => (await sessionsOf(serve)).map(({ session }) => session);

/** Starts programs that have computed, and writes the guest's state into a file. */
async function saved(names: readonly string[], file: string): Promise<readonly GuestProgram[]> {
  const programs: GuestProgram[] = [];
  for (const name of names) programs.push(await startGuestProgram(guest, name, socket));
  for (const program of programs) expect(await program.ask('histogram')).toBe('ok');
  await guest.save(file);
  return programs;
}

test(
  'of two guests restored from one saved state the first goes on, and the other is told that its session is gone',
  async () => {
    const file = join(host.state, 'once');
    const [program] = await saved(['saved'], file);

    await guest.restore(file);
    for (let times = 0; times < 3; times += 1) expect(await program?.ask('histogram')).toBe('ok');

    // The same moment again, of which the worker knows what came after it.
    await guest.restore(file);
    const again = programIn(guest, 'saved');
    expect(await again.ask('histogram')).toBe('CUDA_ERROR_DEVICE_UNAVAILABLE');
    const another = await startGuestProgram(guest, 'another', socket);
    expect(await another.ask('histogram')).toBe('ok');
    await Promise.all([again.end(), another.end()]);
  },
  LONG_MS,
);

test(
  'the end of the other guest, of its programs and of its connector, is none of the first one',
  async () => {
    const file = join(host.state, 'twice');
    const others = await sessionIds();
    const winners = await saved(['asks', 'asks-nothing'], file);
    const theirs = (await sessionIds()).filter((id) => !others.includes(id));
    expect(theirs).toHaveLength(2);

    await guest.restore(file);
    for (const winner of winners) await winner.tell('echo');
    await guest.cutNetworkFor(CUT_MS);
    for (const winner of winners) expect(await winner.answer()).toBe('ok');

    // Where the other one is, nobody hears of the first.
    await guest.cutNetwork();
    for (const winner of winners) await winner.tell('histogram');
    const twin = guest.twin();
    await twin.restore(file);
    const asks = programIn(twin, 'asks');
    expect(await asks.ask('histogram')).toBe('CUDA_ERROR_DEVICE_UNAVAILABLE');
    await Promise.all([asks.end(), programIn(twin, 'asks-nothing').end()]);
    await eventually(
      () => twin.exec('cat /run/jobs/connector.out'),
      (log) => (log.match(/session is not closed.*ResumedElsewhere/g)?.length ?? 0) >= 2,
      120_000,
    );
    await twin.exec('killall aquifer-connector');
    await twin.down();
    expect(await sessionIds()).toEqual(expect.arrayContaining([...theirs]));

    await guest.mendNetwork();
    for (const winner of winners) expect(await winner.answer()).toBe('ok');
    for (const winner of winners) expect(await winner.ask('echo')).toBe('ok');
    for (const winner of winners) expect(await winner.end()).toMatchObject({ code: 0 });
    await eventually(sessionIds, (ids) => theirs.every((id) => !ids.includes(id)), 60_000);
  },
  LONG_MS,
);
