import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 20;

/** Whether processes end with the one that started them, however that ends. */
export type Lifetime = 'on its own' | 'with its owner';

/** A process, for whoever comes later: its number alone may have become another's. */
export interface ProcessId {
  readonly pid: number;
  /** In the kernel's ticks since it booted. */
  readonly startedAt: string;
}

interface Start {
  readonly lifetime: Lifetime;
  readonly log: string;
}

/** Starts a command in a network namespace of its own. */
export function startInNamespace(command: readonly string[], { lifetime, log }: Start): ProcessId {
  const death = lifetime === 'with its owner' ? ['--pdeathsig', 'KILL'] : [];
  const output = openSync(log, 'a');
  const words = [...death, 'unshare', '--net', ...command];
  const child = spawn('setpriv', words, { detached: true, stdio: ['ignore', output, output] });
  closeSync(output);
  child.unref();
  if (child.pid === undefined) throw new Error(`${command[0] ?? ''} does not start`);
  return { pid: child.pid, startedAt: startOf(child.pid) ?? '' };
}

export const isRunning = ({ pid, startedAt }: ProcessId): boolean => startOf(pid) === startedAt;

/** @returns nothing for a process that has ended, even if its parent has not looked yet. */
function startOf(pid: number): string | undefined {
  try {
    // The name, which may hold anything, stands in brackets before all that is counted here.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

export async function endProcess(id: ProcessId): Promise<void> {
  if (isRunning(id)) process.kill(id.pid, 'SIGKILL');
  while (isRunning(id)) await sleep(POLL_MS);
}

/** Reads a file until it says this. @throws Error with the end of it when `hasEnded` says that it never will. */
export async function fileSays(file: string, what: string, hasEnded: () => boolean): Promise<void> {
  const read = (): string => (existsSync(file) ? readFileSync(file, 'utf8') : '');
  while (!read().includes(what)) {
    if (hasEnded() && !read().includes(what))
      throw new Error(`${file} does not say ${what}, it ends with:\n${read().slice(-2000)}`);
    await sleep(POLL_MS);
  }
}
