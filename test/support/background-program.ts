import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const STOP_MS = 30_000;
const POLL_MS = 50;

/** A server that a test starts, stops and starts again. It writes to a file, and does not outlive the test. */
export class BackgroundProgram {
  readonly #name: string;
  readonly #command: readonly string[];
  readonly #logFile: string;
  #child: ChildProcess | undefined;

  constructor(name: string, command: readonly string[], logFile: string) {
    this.#name = name;
    this.#command = command;
    this.#logFile = logFile;
  }

  /** @throws Error when it does not run. */
  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.#name} does not run`);
    return pid;
  }

  get log(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, 'utf8') : '';
  }

  /** The lines of its log that are JSON. */
  logLines(): readonly Readonly<Record<string, unknown>>[] {
    const lines = this.log.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Starts it and waits until `isReady`. @throws Error with what it said when it ends or is not ready in time. */
  async start(isReady: () => Promise<boolean>, timeoutMs: number): Promise<void> {
    const log = openSync(this.#logFile, 'a');
    // With the signal of setpriv the kernel ends it when this process is gone, however that came.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...this.#command], { stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    const deadline = Date.now() + timeoutMs;
    while (!(await isReady())) {
      const hasEnded = child.exitCode !== null || child.signalCode !== null;
      if (!hasEnded && Date.now() < deadline) {
        await sleep(POLL_MS);
        continue;
      }
      await this.end('SIGKILL');
      throw new Error(`${this.#name} did not become ready; it said last:\n${this.log.slice(-4000)}`);
    }
  }

  signal(name: NodeJS.Signals): void {
    if (this.#child?.kill(name) !== true) throw new Error(`${this.#name} does not run`);
  }

  /** Sends the signal and waits for the end; one that has ended stays so. @throws Error when it had to be killed. */
  async end(name: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGCONT');
    child.kill(name);
    const wait = new AbortController();
    const isLate = await Promise.race([
      ended.then(() => false),
      sleep(STOP_MS, true, { signal: wait.signal }).catch(() => false),
    ]);
    wait.abort();
    if (!isLate) return;
    child.kill('SIGKILL');
    await ended;
    throw new Error(`${this.#name} did not stop within ${STOP_MS} ms`);
  }
}
