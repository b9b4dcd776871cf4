import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onDiskOf } from '../../test/support/own-disk.ts';
import { openEmbeddedStore } from './store.ts';

const support = resolve(import.meta.dirname, '../../test/support');
const clock = { now: () => new Date() };
const STEPS = 5; // As in store-process.ts.

let directory: string;
beforeAll(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'aquifer-crash-')), 'store');
});
afterAll(() => rmSync(resolve(directory, '..'), { recursive: true }));

/** A process that has the store open and, if it has writers, has acknowledged a write; and what it has said. */
async function writerProcess(writers: number) {
  const child = spawn(process.execPath, [join(support, 'store-process.ts'), directory, String(writers)]);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (output += `stderr: ${chunk}`));
  const ready = writers === 0 ? /ready\n/ : /ready\n.+\n/;
  while (!ready.test(output)) {
    if (child.exitCode !== null) throw new Error(`the process ended: ${output}`);
    await sleep(5);
  }
  return { child, output: () => output };
}

async function kill(child: ChildProcess): Promise<void> {
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}

describe('a process that has the store open', () => {
  test('keeps others out, by name, and leaves no lock behind when it is killed', async () => {
    const { child } = await writerProcess(0);
    try {
      expect(() => openEmbeddedStore({ directory, clock })).toThrow(
        `${directory} is in use by process ${child.pid}: stop it, or choose another directory`,
      );
    } finally {
      await kill(child);
    }
    openEmbeddedStore({ directory, clock })[Symbol.dispose]();
  });

  test('keeps out another opening in the same process', () => {
    using store = openEmbeddedStore({ directory, clock });
    expect(() => openEmbeddedStore({ directory, clock })).toThrow(`is in use by process ${process.pid}`);
    expect(store).toBeDefined();
  });

  test('shows the directory to its user only', () => {
    expect(statSync(directory).mode & 0o777).toBe(0o700);
  });
});

describe('killed while it writes', () => {
  /** Where a claim stands after step k: its label, or gone. */
  const stateAfter = (k: number): string => (k < 0 || k % STEPS === STEPS - 1 ? 'gone' : String(k));

  test.each([0, 3, 17, 60, 120, 250, 400])('after %d ms: everything acknowledged is there', async (ms) => {
    const { child, output } = await writerProcess(8);
    await sleep(ms);
    await kill(child);

    expect(output()).not.toContain('stderr');
    const acknowledged = new Map<string, number>();
    for (const line of output().split('\n').slice(1, -1)) {
      const [name = '', k = ''] = line.split(' ');
      acknowledged.set(name, Number(k));
    }
    expect(acknowledged.size).toBeGreaterThan(0);

    using store = openEmbeddedStore({ directory, clock });
    for (const [name, k] of acknowledged) {
      const claim = await store.get('VGPUClaim', { namespace: 'crash', name });
      const state = claim?.metadata.labels?.['k'] ?? 'gone';
      // The step after the last that was acknowledged may have been on disk already.
      expect([stateAfter(k), stateAfter(k + 1)]).toContain(state);
    }
  });
});

test('on a full disk the store refuses writes, loses nothing and recovers', () => {
  const disk = mkdtempSync(join(tmpdir(), 'aquifer-disk-'));
  const fillsIt = [process.execPath, join(support, 'store-full-disk.ts'), disk, '524288'];
  const [command, ...words] = onDiskOf(2 << 20, disk, fillsIt);
  const { stdout, stderr } = spawnSync(command, words, { encoding: 'utf8' });
  rmSync(disk, { recursive: true });
  expect({ stdout, stderr }).toMatchObject({ stdout: expect.stringMatching(/^\{/) });
  const report = JSON.parse(stdout) as { stored: number };
  expect(report).toMatchObject({
    code: 'Unavailable',
    message: 'the disk that holds the database is full: nothing was written',
    whileFull: true,
    reopened: true,
    atLast: true,
  });
  expect(report.stored).toBeGreaterThan(20);
});

test('the owner file names the last owner and nothing else', () => {
  openEmbeddedStore({ directory, clock })[Symbol.dispose]();
  expect(existsSync(join(directory, 'owner.json'))).toBe(true);
  expect(JSON.parse(readFileSync(join(directory, 'owner.json'), 'utf8'))).toEqual({ pid: process.pid });
});
