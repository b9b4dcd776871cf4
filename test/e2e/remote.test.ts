import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectorKey, startConnector } from '../support/connector-process.ts';
import { eventually } from '../support/eventually.ts';
import { KERNELS } from '../support/example-programs.ts';
import { claim, POOL } from '../support/objects.ts';
import { startServe, type Ran, type Serve } from '../support/serve.ts';
import { compileSessionProgram, startSession, startSessionAt } from '../support/session-program.ts';
import { payloadOf, storedExpiry } from '../support/ticket-text.ts';

/** By how much the clocks of two hosts may differ: a ticket is good for so much longer. */
const LEEWAY_SECONDS = 30;

interface TicketFile {
  readonly ticket: string;
}

let serve: Serve;
let directory: string;
let program: string;
/** Of a ticket that has run out, leeway included, when its test comes. */
let shortLived: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'aq-remote-'));
  program = compileSessionProgram(directory);
  serve = await startServe();
  const manifest = [POOL, claim('trainer', '512Mi', 40), claim('doomed', '512Mi', 40)].join('---\n');
  const applied = await serve.cli(['apply', '-f', '-'], { stdin: manifest });
  expect(applied).toMatchObject({ code: 0, stderr: '' });
  shortLived = await ticketFor('trainer', '--expires', '1s');
}, 60_000);

afterAll(async () => {
  await serve[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

const alterations: readonly (readonly [string, RegExp, (ticket: string) => string])[] = [
  ['altered', /TicketForged: the ticket's signature is not the pool's/, withMoreMemory],
  ['signed by another', /TicketForged: the ticket's signature is not the pool's/, signedByAnother],
  ['signed with a key that the pool does not have', /TicketForged: .* a key that this pool does not have/, otherKey],
];

test.each(alterations)(
  'a ticket that is %s opens nothing',
  async (_, message, alter) => {
    const genuine = JSON.parse(readFileSync(await ticketFor('trainer'), 'utf8')) as TicketFile;
    const file = join(directory, 'altered.json');
    writeFileSync(file, JSON.stringify({ ...genuine, ticket: alter(genuine.ticket) }));
    expectRefused(await runElsewhere(file), message);
  },
  60_000,
);

test.each([
  ['is no ticket file', '{"kind": "Ticket"}', /ticket\.json: .*missing field/],
  ['is not JSON', 'ticket', /ticket\.json: not JSON as `aquifer ticket` prints it/],
])(
  'a file that %s is refused before anything runs',
  async (_, content, message) => {
    const file = join(directory, 'not-a-ticket.json');
    writeFileSync(file, content);
    const ran = await runElsewhere(file);
    expect(ran).toMatchObject({ code: 1, stdout: '' });
    expect(ran.stderr).toMatch(message);
  },
  60_000,
);

test('whoever shows a ticket first has it: another key is refused and the user is told', async () => {
  const file = await ticketFor('trainer');
  const first = await startSession(serve, program, ['--ticket', file], { env: elsewhere() });
  expect(await first.ask('histogram')).toBe('ok');
  expectRefused(await runElsewhere(file), /TicketExchanged: .* find out who had this one/);
  expect(await first.ask('histogram')).toBe('ok');
  expect((await first.end()).code).toBe(0);
}, 60_000);

test('a ticket for a key is worth something to that key only', async () => {
  const env = elsewhere();
  const key = await connectorKey(join(env.XDG_STATE_HOME, 'aquifer-connector'));
  const file = await ticketFor('trainer', '--for', key);
  const owner = await startSession(serve, program, ['--ticket', file], { env });
  expect(await owner.ask('echo')).toBe('ok');
  expect((await owner.end()).code).toBe(0);
  const thief = await runElsewhere(file);
  expect(thief).toMatchObject({ code: 1, stdout: '' });
  expect(thief.stderr).toMatch(/TicketStolen: the ticket is bound to another key.*aquifer ticket trainer --for /);
}, 60_000);

test('a claim with access Local serves this host and is worth no ticket', async () => {
  const local = claim('at-home', '256Mi', 10).replace('spec: {', 'spec: {access: Local, ');
  expect(await serve.cli(['apply', '-f', '-'], { stdin: local })).toMatchObject({ code: 0, stderr: '' });
  const here = await startSession(serve, program, ['--claim', 'at-home']);
  expect(await here.ask('echo')).toBe('ok');
  expect((await here.end()).code).toBe(0);
  const ran = await serve.cli(['ticket', 'at-home']);
  expect(ran).toMatchObject({ code: 1, stdout: '' });
  expect(ran.stderr).toMatch(/claim at-home has access Local: only programs on \S+ use it\n$/);
  await serve.cli(['delete', 'vgpu', 'at-home']);
}, 60_000);

test('a key that is none is refused by the command line', async () => {
  const ran = await serve.cli(['ticket', 'trainer', '--for', 'not-a-key']);
  expect(ran).toMatchObject({ code: 1, stdout: '' });
  expect(ran.stderr).toContain('key');
}, 30_000);

test('a connector offers a socket, renews its ticket in time, and takes up again after a kill', async () => {
  const [socket, stateDir] = [join(directory, 'offered.sock'), join(directory, 'offering')];
  const file = await ticketFor('trainer', '--expires', '4s');
  let connector = await startConnector(file, socket, stateDir);
  const running = await startSessionAt(socket, program);
  expect(await running.ask('histogram')).toBe('ok');
  const { exp } = payloadOf((JSON.parse(readFileSync(file, 'utf8')) as TicketFile).ticket);
  await eventually(
    () => storedExpiry(stateDir),
    (now) => now >= exp + 4,
  );
  await connector.stop('SIGKILL');
  // Program and worker talk to each other directly.
  expect(await running.ask('histogram')).toBe('ok');
  await expect(startSessionAt(socket, program)).rejects.toThrow(/aquifer: no vGPU: .*CUDA_ERROR_NO_DEVICE/s);
  connector = await startConnector(file, socket, stateDir);
  const next = await startSessionAt(socket, program);
  expect(await next.ask('echo')).toBe('ok');
  expect(await running.ask('echo')).toBe('ok');
  expect((await running.end()).code).toBe(0);
  expect((await next.end()).code).toBe(0);
  await connector.stop('SIGTERM');
}, 90_000);

test('the ticket of a claim that is deleted ends what runs on it and opens nothing more', async () => {
  const [socket, stateDir] = [join(directory, 'doomed.sock'), join(directory, 'dooming')];
  const connector = await startConnector(await ticketFor('doomed'), socket, stateDir);
  const running = await startSessionAt(socket, program);
  expect(await running.ask('echo')).toBe('ok');
  expect(await serve.cli(['delete', 'vgpuclaim', 'doomed'])).toMatchObject({ code: 0 });
  await eventually(
    () => running.ask('echo'),
    (answer) => answer === 'CUDA_ERROR_DEVICE_UNAVAILABLE',
  );
  await running.end();
  await expect(startSessionAt(socket, program)).rejects.toThrow(/aquifer: no vGPU: \w+: .*doomed/);
  await connector.stop('SIGTERM');
}, 60_000);

test('a ticket that has expired opens nothing, and the user is told how to get another', async () => {
  const { exp } = payloadOf((JSON.parse(readFileSync(shortLived, 'utf8')) as TicketFile).ticket);
  await eventually(
    () => Date.now() / 1000,
    (now) => now > exp + LEEWAY_SECONDS + 1,
    60_000,
  );
  expectRefused(
    await runElsewhere(shortLived),
    /TicketExpired: the ticket expired \d+ s ago; .*`aquifer ticket trainer`/,
  );
}, 90_000);

let hosts = 0;

/** Another host: nothing of serve's, and a key of its own. */
function elsewhere(): { readonly XDG_STATE_HOME: string; readonly AQUIFER_DATA_DIR: string } {
  hosts += 1;
  return { XDG_STATE_HOME: join(directory, `host-${hosts}`), AQUIFER_DATA_DIR: '/nonexistent' };
}

async function runElsewhere(ticket: string): Promise<Ran> {
  return await serve.cli(['run', '--ticket', ticket, '--', program, KERNELS], { env: elsewhere() });
}

/** The program says which CUDA error it got, and the client library why. */
function expectRefused(ran: Ran, message: RegExp): void {
  expect(ran).toMatchObject({ code: 1, stdout: '' });
  expect(ran.stderr).toMatch(new RegExp(`aquifer: no vGPU: ${message.source}`));
  expect(ran.stderr).toContain('CUDA_ERROR_NO_DEVICE');
}

let tickets = 0;

async function ticketFor(name: string, ...flags: readonly string[]): Promise<string> {
  const printed = await serve.cli(['ticket', name, ...flags]);
  expect(printed).toMatchObject({ code: 0, stderr: '' });
  tickets += 1;
  const file = join(directory, `ticket-${tickets}.json`);
  writeFileSync(file, printed.stdout);
  return file;
}

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function withMoreMemory(ticket: string): string {
  const [header, , signature] = ticket.split('.');
  const payload = payloadOf(ticket);
  const vgpus = payload.vgpus.map((vgpu) => ({ ...vgpu, memoryBytes: vgpu.memoryBytes * 2 }));
  return [header, encoded({ ...payload, vgpus }), signature].join('.');
}

function signedByAnother(ticket: string): string {
  const [header, payload] = ticket.split('.');
  const { privateKey } = generateKeyPairSync('ed25519');
  const signed = `${header}.${payload}`;
  return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`;
}

function otherKey(ticket: string): string {
  const [, payload, signature] = ticket.split('.');
  return [encoded({ alg: 'EdDSA', typ: 'aquifer-ticket+jwt', kid: 'nobody' }), payload, signature].join('.');
}
