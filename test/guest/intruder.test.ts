import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SessionView } from '../../src/api/session-view.ts';
import { eventually } from '../support/eventually.ts';
import { claim, POOL, sessionsOf } from '../support/objects.ts';
import type { Serve } from '../support/serve.ts';
import { GATEWAY_PORT, giveTicket, offerClaim, serveOn } from './guest-claim.ts';
import { GuestHost } from './guest-host.ts';
import { startGuestProgram, type GuestProgram } from './guest-program.ts';
import type { Guest } from './guest.ts';
import { buildIntruder, intrude, type Answer, type Attempt } from './intruder.ts';
import { JOBS, startJob } from './job.ts';
import { withVhostDevice } from './vhost-device.ts';

const LONG_MS = 600_000;
const METRICS = '10.77.0.1:9464';
const STATE = '/var/lib/aquifer-connector';
/** So much a client may ask for without waiting: a worker keeps it until it was received. */
const FLOOD_MIB = 16;
/** How much a worker's memory may grow by, whatever its client does not read. */
const GROWTH_KIB = 64 << 10;
const GUESSED = 'ab'.repeat(16);

let host: GuestHost;
let serve: Serve;
/** Whoever is root in it means ill. */
let hostile: Guest;
let honest: Guest;
let program: GuestProgram;

beforeAll(async () => {
  host = await GuestHost.up({ programs: [buildIntruder()] });
  serve = await serveOn(host, { softwareGpus: '1x1Gi', args: ['--metrics-listen', METRICS] });
  [hostile, honest] = await Promise.all([host.boot(1), host.boot(2)]);
  const manifest = [POOL, claim('hostile', '256Mi', 20), claim('honest', '512Mi', 50)].join('---\n');
  expect(await serve.cli(['apply', '-f', '-'], { stdin: manifest })).toMatchObject({ code: 0, stderr: '' });
  await Promise.all([giveTicket(serve, hostile, 'hostile'), giveTicket(serve, honest, 'honest')]);
  const sockets = await Promise.all([offerClaim(hostile), offerClaim(honest)]);
  program = await startGuestProgram(honest, 'honest', sockets[1]);
  expect(await program.ask('histogram')).toBe('ok');
  const words = ['guest', 'attach', 'vm1', '--claim', 'hostile', '--qmp', hostile.qmpSocket];
  expect(await serve.cli(words, { env: withVhostDevice() })).toMatchObject({ code: 0 });
}, LONG_MS);

afterAll(async () => {
  await serve.cli(['guest', 'detach', 'vm1'], { env: withVhostDevice() });
  await serve[Symbol.asyncDispose]();
  await host.down();
}, 120_000);

/** The ticket that a guest's connector has exchanged its own for. */
const boundTicket = async (guest: Guest): Promise<string> =>
  (JSON.parse(await guest.exec(`cat ${STATE}/tickets/*.json`)) as { readonly ticket: string }).ticket;

/** The single-use numbers of a guest's sessions. */
const usedNumbers = async (guest: Guest): Promise<readonly string[]> =>
  (JSON.parse(await guest.exec(`cat ${STATE}/sessions-*.json`)) as { readonly attached: readonly string[] }[]).flatMap(
    ({ attached }) => attached,
  );

const sessionOf = async (name: string): Promise<string> =>
  (await sessionsOf(serve)).find((session) => session.claim === name)?.session ?? '';

/** What the host's processes and the hostile guest's connector have said. */
async function everyLog(): Promise<string> {
  const folder = join(serve.dataDir, 'log');
  const files = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
  return [serve.output(), ...files, await hostile.exec(`cat ${JOBS}/connector.out`)].join('\n');
}

async function refusedResumes(): Promise<number> {
  const text = await honest.exec(`wget -q -O - http://${METRICS}/metrics`);
  return Number(/^aquifer_session_resumes_total[{]outcome="refused"[}] (\d+)$/m.exec(text)?.[1]);
}

test.each([
  ['TCP', `10.77.0.1:${GATEWAY_PORT}`],
  ['vsock', `vsock:2:${GATEWAY_PORT}`],
])(
  'over %s no number, ticket or replay of a guest gets at the session of another claim',
  async (channel, address) => {
    const before = await refusedResumes();
    const past = await startGuestProgram(hostile, `past-${channel}`, '/run/aquifer/session.sock');
    const finished = await sessionOf('hostile');
    await past.end();
    await eventually(
      () => sessionOf('hostile'),
      (id) => id === '',
      60_000,
    );
    const living = await startGuestProgram(hostile, `living-${channel}`, '/run/aquifer/session.sock');
    const [own, theirs] = [await sessionOf('hostile'), await sessionOf('honest')];
    const [ticket, stolen] = [await boundTicket(hostile), await boundTicket(honest)];
    const [used = ''] = await usedNumbers(honest);
    expect([finished, own, theirs, used].every((number) => /^[0-9a-f]{32}$/.test(number))).toBe(true);

    const unknown = { ok: false, reason: 'SessionUnknown' };
    const notTheirs = { ok: false, reason: 'TicketStolen' };
    const tried: readonly (readonly [Attempt, Answer])[] = [
      [{ op: 'hello', v: 1, ticket }, { ok: true }],
      [{ op: 'resume', ticket, session: theirs }, unknown],
      [{ op: 'resume', ticket, session: GUESSED }, unknown],
      [{ op: 'resume', ticket, session: finished }, unknown],
      [{ op: 'resume', ticket: stolen, session: theirs }, notTheirs],
      [{ op: 'open', ticket: stolen }, notTheirs],
      [{ op: 'inspect', ticket: stolen }, notTheirs],
      [{ op: 'renew', ticket: stolen }, { ok: false }],
      [
        { op: 'close', session: theirs, attach: [used] },
        { ok: true, found: false },
      ],
      [
        { op: 'close', session: own, attach: [GUESSED] },
        { ok: false, reason: 'ResumedElsewhere' },
      ],
      [{ dial: { session: theirs, attach: used } }, { dialed: 'closed' }],
      [{ dial: { session: theirs, attach: GUESSED } }, { dialed: 'closed' }],
      [{ dial: { session: GUESSED, attach: used } }, { dialed: 'closed' }],
      [{ op: 'resume', ticket, session: own }, { ok: true }],
    ];
    const answers = await intrude(
      hostile,
      address,
      tried.map(([attempt]) => attempt),
    );
    expect(answers).toEqual(tried.map(([, answer]) => expect.objectContaining(answer)));

    // A number that was given for the own session leads to no other one, and to the own one once.
    const attach = answers.at(-1)?.attach ?? '';
    const replays = [theirs, own, own].map((session): Attempt => ({ dial: { session, attach } }));
    const [elsewhere, once, again] = await intrude(hostile, address, replays);
    expect([elsewhere?.dialed, again?.dialed]).toEqual(['closed', 'closed']);
    expect(once?.dialed).not.toBe('answered');
    const stranger = await intrude(hostile, address, [{ op: 'hello', v: 1, ticket: stolen }]);
    expect(stranger).toEqual([expect.objectContaining(notTheirs)]);

    expect(await program.ask('histogram')).toBe('ok');
    expect(await sessionOf('honest')).toBe(theirs);
    expect(await living.ask('histogram')).toBe('ok');
    expect(await living.end()).toMatchObject({ code: 0 });
    await eventually(refusedResumes, (count) => count >= before + 7, 30_000);
    const logs = await everyLog();
    expect(logs).toContain('data connection refused');
    for (const secret of [ticket, stolen, used, attach]) expect(logs).not.toContain(secret);
  },
  LONG_MS,
);

/** Starts a connector by the ticket that came with the hostile guest's vsock. @returns its socket, which programs reach the GPU by vsock from */
async function offerOverVsock(): Promise<string> {
  const socket = '/run/over-vsock.sock';
  const disk = '$(basename $(dirname $(grep -lx aquifer-ticket /sys/block/vd*/serial)))';
  await hostile.exec(`cp /dev/${disk} /etc/aquifer/vsock.json`);
  const words = `--ticket /etc/aquifer/vsock.json --socket ${socket} --state-dir /run/over-vsock`;
  await startJob(hostile, 'over-vsock', `exec aquifer-connector ${words}`);
  await hostile.exec(`for i in $(seq 300); do [ -e ${socket} ] && break; sleep 0.2; done`);
  return socket;
}

function residentKiB(session: string): number {
  const record = readFileSync(join(serve.dataDir, 'run/workers', `${session}.json`), 'utf8');
  const { pid } = JSON.parse(record) as { readonly pid: number };
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

test(
  'a client over vsock that reads nothing of what it asked for costs its own worker a bounded amount, and others nothing',
  async () => {
    const deaf = await startGuestProgram(hostile, 'deaf', await offerOverVsock());
    expect(await deaf.ask('histogram')).toBe('ok');
    const own = async (): Promise<SessionView | undefined> =>
      (await sessionsOf(serve)).find((session) => session.claim === 'hostile');
    const session = await own();
    expect(session?.channel).toBe('vsock');
    const before = residentKiB(session?.session ?? '');

    // A client reads when its program calls something.
    expect(await deaf.ask(`flood ${FLOOD_MIB}`)).toBe('ok');
    await hostile.exec('killall -STOP session');
    await eventually(own, (now) => now?.state === 'Disconnected', 60_000);
    expect(await program.ask('histogram')).toBe('ok');
    expect(residentKiB(session?.session ?? '') - before).toBeLessThan(GROWTH_KIB);

    await hostile.exec('killall -CONT session');
    expect(await deaf.ask('arrived')).toBe('ok');
    expect(await deaf.end()).toMatchObject({ code: 0 });
  },
  LONG_MS,
);
