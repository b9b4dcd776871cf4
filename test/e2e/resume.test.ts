import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SessionView } from '../../src/api/session-view.ts';
import { eventually } from '../support/eventually.ts';
import { startConnector, type ConnectorProcess } from '../support/connector-process.ts';
import { freePort } from '../support/free-port.ts';
import { claim, POOL } from '../support/objects.ts';
import { startServe, type Serve } from '../support/serve.ts';
import { compileSessionProgram, startSessionAt, type SessionProgram } from '../support/session-program.ts';
import { relayTo, type TcpRelay } from '../support/tcp-relay.ts';

interface TicketFile {
  readonly endpoints: readonly { readonly node: string; readonly address: string }[];
}

let serve: Serve;
let metrics: string;
let directory: string;
let relay: TcpRelay;
let ticket: string;
let connector: ConnectorProcess;
let program: SessionProgram;

const socket = (): string => join(directory, 'session.sock');
const start = (): Promise<ConnectorProcess> => startConnector(ticket, socket(), join(directory, 'state'));

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'aq-resume-'));
  metrics = `127.0.0.1:${await freePort()}`;
  serve = await startServe({ args: ['--metrics-listen', metrics] });
  const applied = await serve.cli(['apply', '-f', '-'], { stdin: [POOL, claim('trainer', '512Mi', 40)].join('---\n') });
  expect(applied).toMatchObject({ code: 0, stderr: '' });
  const printed = JSON.parse((await serve.cli(['ticket', 'trainer'])).stdout) as TicketFile;
  const tcp = printed.endpoints.find(({ address }) => !address.startsWith('vsock:'));
  relay = await relayTo(Number(tcp?.address.split(':').at(-1)));
  ticket = await ticketByRelay('trainer');
  connector = await start();
  program = await startSessionAt(socket(), compileSessionProgram(directory));
  expect(await program.ask('histogram')).toBe('ok');
}, 120_000);

afterAll(async () => {
  program.kill();
  await connector.stop('SIGTERM');
  await relay[Symbol.asyncDispose]();
  await serve[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

/** A ticket whose gateway is reached through the relay. */
async function ticketByRelay(name: string): Promise<string> {
  const printed = JSON.parse((await serve.cli(['ticket', name])).stdout) as TicketFile;
  const endpoints = printed.endpoints.slice(0, 1).map(({ node }) => ({ node, address: `127.0.0.1:${relay.port}` }));
  const file = join(directory, `${name}.json`);
  writeFileSync(file, JSON.stringify({ ...printed, endpoints }));
  return file;
}

async function shown(): Promise<SessionView> {
  const { stdout } = await serve.cli(['sessions', '-o', 'json']);
  const [session] = (JSON.parse(stdout) as { readonly items: readonly SessionView[] }).items;
  if (session === undefined) throw new Error('there is no session');
  return session;
}

async function computes(): Promise<void> {
  expect(await program.ask('echo')).toBe('ok');
  expect(await program.ask('histogram')).toBe('ok');
}

test('a session goes on when its connections are cut', async () => {
  for (let round = 0; round < 5; round++) {
    relay.cut();
    await computes();
  }
}, 60_000);

test('a program starts although its connection is cut before it has a session', async () => {
  for (let bytes = 1; bytes < 2400; bytes += 100) {
    relay.cutNextAfter(bytes);
    const starting = await startSessionAt(socket(), join(directory, 'session'));
    expect(await starting.ask('echo')).toBe('ok');
    expect(await starting.end()).toMatchObject({ code: 0, stderr: '' });
  }
}, 60_000);

test.each([1, 10])(
  'a session goes on when nothing comes through for %d s',
  async (seconds) => {
    relay.fallSilent();
    const answered = program.ask('histogram');
    await sleep(seconds * 1000);
    relay.speak();
    expect(await answered).toBe('ok');
    await computes();
  },
  60_000,
);

test('a session that waits for its program is shown as such, and how often it was resumed', async () => {
  const before = await shown();
  relay.fallSilent();
  const waits = await eventually(shown, ({ state }) => state === 'Disconnected');
  expect(waits.resumes).toBe(before.resumes);
  relay.speak();
  await computes();
  const after = await eventually(shown, ({ state }) => state === 'Connected');
  expect(after.resumes).toBeGreaterThan(before.resumes);
}, 60_000);

test('a session that is not resumed within the grace period of its claim is over at both ends', async () => {
  const manifest = claim('hasty', '64Mi', 10).replace('spec: {', 'spec: {gracePeriodSeconds: 1, ');
  expect(await serve.cli(['apply', '-f', '-'], { stdin: manifest })).toMatchObject({ code: 0, stderr: '' });
  const at = join(directory, 'hasty.sock');
  const hasty = await startConnector(await ticketByRelay('hasty'), at, join(directory, 'hasty'));
  const lost = await startSessionAt(at, join(directory, 'session'));
  expect(await lost.ask('echo')).toBe('ok');
  relay.fallSilent();
  expect(await lost.ask('echo')).toBe('CUDA_ERROR_DEVICE_UNAVAILABLE');
  const listed = async (): Promise<string> => (await serve.cli(['sessions', 'hasty', '-o', 'name'])).stdout;
  await eventually(listed, (sessions) => sessions === '');
  relay.speak();
  await lost.end();
  await hasty.stop('SIGTERM');
  await computes();
}, 60_000);

test('a session goes on when its connector was killed and its connection is cut', async () => {
  await connector.stop('SIGKILL');
  await computes();
  relay.cut();
  connector = await start();
  await computes();
}, 60_000);

test('how attempts to resume sessions ended is counted', async () => {
  const counted = async (): Promise<Readonly<Record<string, number>>> => {
    const text = await (await fetch(`http://${metrics}/metrics`)).text();
    const found = text.matchAll(/^aquifer_session_resumes_total[{]outcome="(\w+)"[}] (\d+)$/gm);
    return Object.fromEntries([...found].map(([, outcome, count]) => [outcome, Number(count)]));
  };
  const { resumes } = await shown();
  const counts = await eventually(counted, ({ resumed }) => resumed === resumes);
  expect(counts).toEqual({ resumed: resumes, refused: 0, expired: 1 });
}, 60_000);

test('the session of a program that is killed does not wait for it, whatever connections it had', async () => {
  program.kill();
  await eventually(
    async () => (await serve.cli(['sessions', '-o', 'name'])).stdout,
    (sessions) => sessions === '',
  );
}, 60_000);
