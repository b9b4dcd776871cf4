import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { compileTestProgram } from '../support/example-programs.ts';
import { claim, claimsOf, POOL, promisedBy, sessionsOf } from '../support/objects.ts';
import { startServe, type Ran, type Serve } from '../support/serve.ts';

const CLAIMS = 200;
const PROGRAMS = 50;
const AT_ONCE = 10; // Command lines: each is a Node of its own.
const FIT = 100; // Two GPUs of 4Gi with 80Mi a claim would hold 102; with 2 % of compute each they hold 100.

jest.setTimeout(600_000);

let serve: Serve;
let directory: string;
let program: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'aq-crowd-'));
  program = compileTestProgram('steady', directory);
  serve = await startServe({ softwareGpus: '2x4Gi' });
});

afterAll(async () => {
  await serve[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

const names = Array.from({ length: CLAIMS }, (_, i) => `crowd-${i}`);

/** Runs `work` for every item, some at once. */
async function forAll<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  const queue = items.entries();
  const workers = Array.from({ length: AT_ONCE }, async () => {
    for (const [at, item] of queue) results[at] = await work(item);
  });
  await Promise.all(workers);
  return results;
}

const phases = async (): Promise<Readonly<Record<string, number>>> => {
  const counts: Record<string, number> = {};
  for (const { status } of await claimsOf(serve)) {
    const phase = status?.phase ?? 'none';
    counts[phase] = (counts[phase] ?? 0) + 1;
  }
  return counts;
};

test('of 200 claims at once as many are bound as fit, the others wait and say for what', async () => {
  const manifests = names.map((name) => claim(name, '80Mi', 2));
  const batches = Array.from({ length: AT_ONCE }, (_, i) => manifests.filter((_unused, at) => at % AT_ONCE === i));
  await serve.cli(['apply', '-f', '-'], { stdin: POOL });
  const applied = await forAll(batches, (batch) => serve.cli(['apply', '-f', '-'], { stdin: batch.join('---\n') }));
  for (const ran of applied) expect(ran).toMatchObject({ code: 0, stderr: '' });
  expect(
    await eventually(phases, ({ Bound = 0, Pending = 0 }) => Bound + Pending === CLAIMS && Bound === FIT, 120_000),
  ).toEqual({ Bound: FIT, Pending: CLAIMS - FIT });
  expect(await promisedBy(serve)).toEqual({ memory: '8000Mi', compute: 200 });
  const waiting = (await claimsOf(serve)).filter(({ status }) => status?.phase === 'Pending');
  for (const { status } of waiting) {
    expect(status?.conditions?.find(({ type }) => type === 'Bound')?.message).toMatch(
      /^needs 2 % .*the most free is 0 %/,
    );
  }
});

test('50 programs at once on 50 claims compute within their limits', async () => {
  const bound = (await claimsOf(serve)).filter(({ status }) => status?.phase === 'Bound');
  const own = bound.slice(0, PROGRAMS).map(({ metadata }) => metadata.name);
  // Started one after the other they would not be there at once: each waits for SIGTERM.
  const running = await forAll(own, async (name) => serve.start(['run', '--claim', name, '--', program, '0', '32']));
  await eventually(
    () => sessionsOf(serve),
    (now) => now.length === PROGRAMS && now.every(({ vgpus }) => Number(vgpus[0]?.busyNs ?? 0) > 0),
    300_000,
  );
  const used = (await sessionsOf(serve)).map(({ vgpus }) => vgpus[0]?.memoryBytes ?? 0);
  expect(Math.min(...used)).toBeGreaterThanOrEqual(32 << 20);
  expect(Math.max(...used)).toBeLessThanOrEqual(80 << 20);
  // The claims have 80Mi: with 32Mi in use 64Mi more are not there, whatever the GPU has free.
  const tooMuch = await forAll(own.slice(0, 5), (name) =>
    serve.cli(['run', '--claim', name, '--', program, '1', '64']),
  );
  for (const ran of tooMuch) {
    expect(ran).toMatchObject({ code: 1, stderr: expect.stringContaining('CUDA_ERROR_OUT_OF_MEMORY (2)') });
  }
  for (const { child } of running) child.kill('SIGTERM');
  const ran: readonly Ran[] = await Promise.all(running.map(({ ended }) => ended));
  for (const one of ran) {
    expect(one).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/ rounds, 0 wrong\n$/) });
  }
  await eventually(
    () => sessionsOf(serve),
    (now) => now.length === 0,
  );
});

test('deleting all of them gives everything back and leaves nothing', async () => {
  const deleted = await forAll(
    Array.from({ length: AT_ONCE }, (_, i) => names.filter((_unused, at) => at % AT_ONCE === i)),
    (batch) => serve.cli(['delete', 'vgpu', ...batch]),
  );
  for (const ran of deleted) expect(ran).toMatchObject({ code: 0, stderr: '' });
  expect(await claimsOf(serve)).toEqual([]);
  await eventually(
    () => promisedBy(serve),
    ({ memory, compute }) => memory === '0' && compute === 0,
  );
  for (const left of ['workers', 'ledger']) {
    await eventually(
      () => readdirSync(join(serve.dataDir, 'run', left)),
      (files) => files.length === 0,
    );
  }
});
