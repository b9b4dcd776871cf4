import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

export interface RunOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** What a command printed. */
export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. @throws Error with all that it said when it fails. */
export async function run(
  [command = '', ...args]: readonly string[],
  { stdin = '', env }: RunOptions = {},
): Promise<Ran> {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: 'pipe' });
  child.stdin.on('error', () => undefined); // It need not read all of it.
  child.stdin.end(stdin);
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  if (code !== 0) throw new Error(`${[command, ...args].join(' ')} ended with ${code}:\n${stderr}${stdout}`);
  return { stdout, stderr };
}
