import { spawn } from 'node:child_process';
import { closeSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openLog } from './bounded-log.ts';
import { isAlive, signalProcess } from '../ipc/process-identity.ts';
import { readRunRecord, type RunRecord } from './run-record.ts';

/** One of the processes that go on when we stop. */
export interface NativeProgram {
  readonly name: 'spawner' | 'gateway' | 'connector';
  readonly binary: string;
  readonly args: readonly string[];
  /** run/NAME.json, which the process writes once it serves. */
  readonly record: string;
  readonly log: string;
  readonly version: string;
}

const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 5000;
const POLL_MS = 20;

/** The record of the program's process, if that lives. */
export function livingProcess(program: NativeProgram): RunRecord | undefined {
  const record = readRunRecord(program.record);
  return record !== undefined && isAlive(record) ? record : undefined;
}

/** Whether the living process was started as `program` says, or else must be replaced by one that is. */
export function isAsWanted(program: NativeProgram, record: RunRecord): boolean {
  return record.version === program.version && readIfThere(invocationFile(program)) === invocationOf(program);
}

/**
 * Starts the program detached, with its output in its own log, and waits until it serves.
 * @throws Error with the last line that it logged, if it ended or did not serve in time.
 */
export async function startProcess(program: NativeProgram): Promise<RunRecord> {
  writeFileSync(invocationFile(program), invocationOf(program), { mode: 0o600 });
  const log = openLog(program.log);
  const child = spawn(program.binary, program.args, { detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  let ended: string | undefined;
  child.once('error', (error) => (ended = error.message));
  child.once('exit', (code, signal) => (ended = `it ended with ${signal ?? `exit code ${code}`}`));
  child.unref();

  const deadline = Date.now() + START_TIMEOUT_MS;
  while (ended === undefined && Date.now() < deadline) {
    const record = livingProcess(program);
    if (record !== undefined && record.pid === child.pid) return record;
    await sleep(POLL_MS);
  }
  if (ended === undefined) child.kill('SIGKILL');
  const why = ended ?? `it was not ready within ${START_TIMEOUT_MS / 1000} s`;
  throw new Error(
    `the ${program.name} did not start: ${why}; it said: ${lastWords(program.log)} (its log is ${program.log})`,
  );
}

/** Asks the process to end, insists after a while, and returns when it is gone. */
export async function stopProcess(record: RunRecord): Promise<void> {
  signalProcess(record, 'SIGTERM');
  await goneWithin(record, STOP_TIMEOUT_MS);
  signalProcess(record, 'SIGKILL');
  await goneWithin(record, STOP_TIMEOUT_MS);
}

/** Whether the process was gone before the time was over. */
export async function goneWithin(record: RunRecord, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (isAlive(record)) {
    if (Date.now() >= deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}

const invocationFile = (program: NativeProgram): string => program.record.replace(/[.]json$/, '.invocation');

const invocationOf = ({ binary, args }: NativeProgram): string => JSON.stringify([binary, ...args]);

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** What the program said last: the reason alone where its log has one. */
function lastWords(path: string): string {
  const line = readIfThere(path)?.trimEnd().split('\n').at(-1) ?? '';
  try {
    const { reason } = JSON.parse(line) as { readonly reason?: unknown };
    return typeof reason === 'string' ? reason : line;
  } catch {
    return line;
  }
}
