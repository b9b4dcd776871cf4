import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { compileTestProgram } from '../support/example-programs.ts';
import { onDiskOf } from '../support/own-disk.ts';
import type { Ran } from '../support/serve.ts';

const SCRIPT = resolve(import.meta.dirname, '../support/serve-full-disk.ts');
const DISK_BYTES = 48 << 20;

jest.setTimeout(240_000);

interface Report {
  readonly refused: Ran;
  readonly listedWhileFull: boolean;
  readonly computesWhileFull: boolean;
  readonly runWhileFull: Ran;
  readonly said: string;
  readonly startedWhileFull: string;
  readonly computesAgain: boolean;
  readonly applied: Ran;
  readonly ran: Ran;
  readonly deleted: Ran;
  readonly phases: readonly string[];
  readonly steadyRan: Ran;
}

let directory: string;
let report: Report;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'aq-disk-'));
  const program = compileTestProgram('steady', join(directory, 'bin'));
  const disk = mkdtempSync(join(directory, 'disk-'));
  const [command, ...words] = onDiskOf(DISK_BYTES, disk, [process.execPath, SCRIPT, disk, program]);
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  if (!stdout.startsWith('{')) throw new Error(`the script said: ${stdout}${stderr}`);
  report = JSON.parse(stdout) as Report;
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('a write is refused with the reason, reading goes on, and the log of serve says it too', () => {
  expect(report.refused).toEqual({
    code: 1,
    stdout: '',
    stderr: 'Error from server (ServiceUnavailable): the disk that holds the database is full: nothing was written\n',
  });
  expect(report.listedWhileFull).toBe(true);
  expect(report.said).toContain('"message":"the disk that holds the database is full: nothing was written"');
});

test('a program that runs goes on; a new one is told what is missing', () => {
  expect(report.computesWhileFull).toBe(true);
  expect(report.runWhileFull.code).toBe(1);
  expect(report.runWhileFull.stderr).toContain('the worker did not start: No space left on device');
});

test('serve that is started on a full disk says so and cuts nothing', () => {
  // It starts where its log has blocks from before to write to.
  expect(report.startedWhileFull).toMatch(
    /^started$|error: the disk that holds the database is full: nothing was written\n/,
  );
  expect(report.computesAgain).toBe(true);
});

test('with room again everything works, and no claim was lost', () => {
  expect(report.applied).toMatchObject({ code: 0, stderr: '' });
  expect(report.ran).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/ 3 rounds, 0 wrong\n$/) });
  expect(report.deleted).toMatchObject({ code: 0, stderr: '' });
  expect(report.phases).toEqual(expect.arrayContaining(['other Bound', 'steady Bound']));
  expect(report.steadyRan).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/ 0 wrong\n$/) });
});
