import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The install prefix that `make build` fills. */
export const PREFIX = resolve(import.meta.dirname, '../../build/dist');

/** What a program did. */
export interface Ran {
  /** 128 + n when a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string;
  /** Leaves standard input open, for the test to write to. @default false */
  readonly keepStdin?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

export interface ServeOptions {
  /** @default 1x4Gi */
  readonly softwareGpus?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A command that starts it, such as nohup. */
  readonly under?: readonly string[];
  /** Takes up what an earlier serve left there. @default a new directory */
  readonly dataDir?: string;
}

/** A command that runs: `ended` says what it did. */
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ran>;
}

/** An `aquifer serve` of the installed product, on a data directory of its own. Disposing it stops it and looks behind it. */
export interface Serve extends AsyncDisposable {
  readonly dataDir: string;
  readonly pid: number;
  /** What serve has said so far. */
  output(): string;
  /** Runs the command line to its end. */
  cli(words: readonly string[], options?: RunOptions): Promise<Ran>;
  /** Starts a command and lets it run. */
  start(words: readonly string[], options?: RunOptions): Running;
  /** kill -9, as a crash would. What it had started lives on. */
  crash(): Promise<void>;
  /** Stops serve as its user would. @throws Error that lists the processes which are left. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

const READY_MS = 30_000;
const STOP_MS = 20_000;

/** Starts serve and waits until it says that it is ready. @throws Error with what it said instead. */
export async function startServe(options: ServeOptions = {}): Promise<Serve> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'aq-'));
  const { softwareGpus = '1x4Gi', args = [], env = {}, under = [] } = options;
  const words = ['serve', '--software-gpus', softwareGpus, '--listen', '127.0.0.1:0', '--node-name', 'gpu-1', ...args];
  const { child, ended } = run(words, dataDir, { env }, under);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await becomesReady(child, () => output);

  let stopped = false;
  const serve: Serve = {
    dataDir,
    pid: child.pid ?? 0,
    output: () => output,
    cli: (command, runOptions) => run(command, dataDir, runOptions).ended,
    start: (command, runOptions) => run(command, dataDir, runOptions),
    async crash() {
      stopped = true;
      child.kill('SIGKILL');
      await ended;
    },
    async stop(signal = 'SIGTERM') {
      stopped = true;
      await endServe({ child, ended }, dataDir, signal);
    },
    async [Symbol.asyncDispose]() {
      if (stopped) return;
      await serve.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
  return serve;
}

async function becomesReady(child: ChildProcess, output: () => string): Promise<void> {
  const deadline = Date.now() + READY_MS;
  while (!output().includes('aquifer is ready')) {
    const hasEnded = child.exitCode !== null || child.signalCode !== null;
    if (hasEnded || Date.now() > deadline) {
      child.kill('SIGTERM');
      throw new Error(`serve did not become ready; it said:\n${output()}`);
    }
    await sleep(20);
  }
}

async function endServe({ child, ended }: Running, dataDir: string, signal: NodeJS.Signals): Promise<void> {
  const workers = workersOf(dataDir);
  child.kill(signal);
  const ran = await Promise.race([ended, sleep(STOP_MS, undefined, { ref: false })]);
  if (ran === undefined) child.kill('SIGKILL');
  if (ran?.code !== 0) throw new Error(`serve did not stop well (${ran?.code ?? 'not at all'}):\n${ran?.stderr ?? ''}`);
  const left = await processesLeft(dataDir, workers);
  if (left.length > 0) throw new Error(`serve left behind:\n${left.join('\n')}`);
}

/** The processes that belong to a data directory and still run, a moment after they should not. */
export async function processesLeft(dataDir: string, workers: readonly number[] = []): Promise<readonly string[]> {
  const deadline = Date.now() + 2000;
  let left = processesOf(dataDir, workers);
  while (left.length > 0 && Date.now() < deadline) {
    await sleep(50);
    left = processesOf(dataDir, workers);
  }
  return left;
}

/** The workers of a data directory's sessions. They do not name it on their command line; their records name them. */
export function workersOf(dataDir: string): readonly number[] {
  const directory = join(dataDir, 'run', 'workers');
  return names(directory).flatMap((name) => {
    const record = name.endsWith('.json') ? readIfThere(join(directory, name)) : '';
    return record === '' ? [] : [(JSON.parse(record) as { readonly pid: number }).pid];
  });
}

function processesOf(dataDir: string, workers: readonly number[]): readonly string[] {
  return names('/proc')
    .filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      const command = readIfThere(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
      const isOurs = command.includes(dataDir) || (workers.includes(Number(pid)) && command !== '');
      return isOurs || readIfThere(`/proc/${pid}/environ`).includes(`${dataDir}/run/sockets`)
        ? [`${pid} ${command}`]
        : [];
    });
}

function names(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
};

function run(
  words: readonly string[],
  dataDir: string,
  { env = {}, ...options }: RunOptions = {},
  under: readonly string[] = [],
): Running {
  const [command = '', ...args] = [...under, join(PREFIX, 'bin/aquifer'), ...words];
  return runProgram(command, args, { ...options, env: { AQUIFER_DATA_DIR: dataDir, ...env } });
}

/** Starts a program and lets it run: `ended` says what it did. */
export function runProgram(
  file: string,
  words: readonly string[],
  { stdin = '', keepStdin = false, env = {} }: RunOptions = {},
): Running {
  const child = spawn(file, words, { env: { ...process.env, NODE_OPTIONS: '', ...env }, stdio: 'pipe' });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.on('error', () => undefined); // A program that reads nothing may be gone before it is written to.
  if (!keepStdin) child.stdin.end(stdin);
  const ended = once(child, 'close').then(([code, signal]: unknown[]) => ({
    code: typeof code === 'number' ? code : 128 + (SIGNALS[String(signal)] ?? 0),
    stdout,
    stderr,
  }));
  return { child, ended };
}
