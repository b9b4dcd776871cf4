import { expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { processesLeft } from '../support/serve.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/** The commands of the README that a user types on one host, in their order. */
function commands(): readonly string[] {
  const text = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const [, section = ''] = /^## Use it on one host$(.*?)^## /ms.exec(text) ?? [];
  return [...section.matchAll(/```sh\n([^`]*)```/g)].flatMap(([, block = '']) => block.trim().split('\n'));
}

/** A home of its own and a port that nobody else has; everything else is as the README has it. */
function startShell(home: string): { write(line: string): void; output(): string; readonly ended: Promise<unknown> } {
  const { PATH = '', RUSTUP_HOME = join(homedir(), '.rustup'), CARGO_HOME = join(homedir(), '.cargo') } = process.env;
  const env = { PATH, RUSTUP_HOME, CARGO_HOME, HOME: home, AQUIFER_LISTEN: '127.0.0.1:0' };
  const shell = spawn('bash', ['--norc'], { cwd: ROOT, env });
  let output = '';
  for (const stream of [shell.stdout, shell.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return { write: (line) => shell.stdin.write(`${line}\n`), output: () => output, ended: once(shell, 'exit') };
}

test('the commands of the README do what it says, typed one after another', async () => {
  const home = mkdtempSync(join(tmpdir(), 'aq-readme-'));
  const shell = startShell(home);
  const shows = (what: string, timeoutMs: number): Promise<string> =>
    eventually(
      () => shell.output(),
      (text) => text.includes(what),
      timeoutMs,
    );
  try {
    const typed = commands();
    expect(typed.length).toBeGreaterThanOrEqual(11);
    for (const [step, command] of typed.entries()) {
      shell.write(`${command}\necho "step ${step}: code $?"`);
      const text = await shows(`step ${step}: code `, 300_000);
      if (!text.includes(`step ${step}: code 0\n`)) throw new Error(`${command}\n${text}`);
      if (/&\s*(#|$)/.test(command)) await shows('aquifer is ready', 60_000);
    }
  } finally {
    shell.write('kill %1 2>&-; wait; rm -f matmul ticket; exit');
    await shell.ended;
  }
  expect(shell.output().match(/matmul: 1 products of \d+ x \d+ in .* s, 0 wrong/g)).toHaveLength(2);
  expect(await processesLeft(join(home, '.local/state/aquifer'))).toEqual([]);
  expect(existsSync(join(home, '.local/bin/aquifer'))).toBe(false);
  rmSync(home, { recursive: true, force: true });
}, 600_000);
