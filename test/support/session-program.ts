import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { KERNELS } from './example-programs.ts';
import { PREFIX, runProgram, type Ran, type RunOptions, type Serve } from './serve.ts';

const SOURCE = resolve(import.meta.dirname, '../programs/session.c');
const PATIENCE_MS = 30_000;

/** A CUDA program that does what it is told, line by line. test/programs/session.c says what it can. */
export interface SessionProgram {
  readonly pid: number;
  /** What the program answers: "ok", or the name of a CUDA error. @throws Error when it ends instead, or says nothing. */
  ask(command: string): Promise<string>;
  /** Closes its standard input, at which it ends. */
  end(): Promise<Ran>;
  /** kill -9, if it has not ended. */
  kill(): void;
  readonly ended: Promise<Ran>;
}

/** Compiles the program into `directory` and returns its path. */
export function compileSessionProgram(directory: string): string {
  const program = join(directory, 'session');
  execFileSync('cc', ['-O2', '-Wall', '-Werror', '-o', program, SOURCE, '-ldl']);
  return program;
}

/** Starts `program` by `aquifer run` with `flags` and waits until it has its vGPU. @throws Error with what it said instead. */
export async function startSession(
  serve: Serve,
  program: string,
  flags: readonly string[],
  options: RunOptions = {},
): Promise<SessionProgram> {
  const words = ['run', ...flags, '--', program, KERNELS];
  return await talkTo(serve.start(words, { ...options, keepStdin: true }));
}

/** As `startSession`, at a session socket that a connector offers, by a command that starts it if need be. */
export async function startSessionAt(
  socket: string,
  program: string,
  under: readonly string[] = [],
): Promise<SessionProgram> {
  const env = { AQUIFER_SOCKET: socket, LD_LIBRARY_PATH: join(PREFIX, 'lib/aquifer/client') };
  const [command, ...words] = [...under, program, KERNELS] as const;
  return await talkTo(runProgram(command, words, { env, keepStdin: true }));
}

async function talkTo({ child, ended }: ReturnType<Serve['start']>): Promise<SessionProgram> {
  const lines = createInterface({ input: child.stdout ?? process.stdin })[Symbol.asyncIterator]();
  const nextLine = async (): Promise<string> => {
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer in ${PATIENCE_MS} ms`)), PATIENCE_MS);
    });
    try {
      const line = await Promise.race([lines.next(), silence]);
      if (line.done !== true) return line.value;
      const ran = await ended;
      throw new Error(`the program has ended (${ran.code}): ${ran.stderr}`);
    } finally {
      clearTimeout(timer);
    }
  };
  const greeting = await nextLine();
  if (!greeting.startsWith('vGPU: ')) {
    child.kill('SIGKILL');
    throw new Error(`the program says ${JSON.stringify(greeting)}`);
  }
  return {
    pid: child.pid ?? 0,
    ended,
    async ask(command) {
      child.stdin?.write(`${command}\n`);
      return await nextLine();
    },
    async end() {
      child.stdin?.end();
      return await ended;
    },
    kill: () => void child.kill('SIGKILL'),
  };
}
