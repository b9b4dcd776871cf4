import { spawnSync } from 'node:child_process';

const ENV = '/usr/bin/env';
const RESET = '--default-signal=PIPE,XFSZ';

/**
 * Makes this process the program `file`; returns only by an exception. Node ignores SIGPIPE and SIGXFSZ, and what is
 * ignored stays so across execve: env(1) puts that right on its way (coreutils 8.31; an older one is done without).
 */
export function replaceProcess(file: string, args: readonly string[], env: Readonly<Record<string, string>>): never {
  const canReset = spawnSync(ENV, [RESET, 'true'], { stdio: 'ignore' }).status === 0;
  if (canReset) process.execve?.(ENV, [ENV, RESET, file, ...args.slice(1)], env);
  process.execve?.(file, args, env);
  throw new Error(`${file} could not be run`);
}
