import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');

/** The PTX of the example kernels. */
export const KERNELS = join(ROOT, 'examples/kernels');

/**
 * Compiles an example into `directory` and returns its path: an ordinary CUDA program that knows nothing of us. It may be
 * linked with more than it needs.
 */
export const compileExample = (
  name: 'matmul' | 'histogram' | 'training',
  directory: string,
  libraries: readonly string[] = [],
): string => compile(join(ROOT, 'examples', `${name}.c`), join(directory, name), libraries);

/** Compiles a program that only tests run, as ordinary as the examples. */
export const compileTestProgram = (name: 'hoard' | 'misbehave' | 'saturate' | 'steady', directory: string): string =>
  compile(join(ROOT, 'test/programs', `${name}.c`), join(directory, name));

function compile(source: string, program: string, libraries: readonly string[] = []): string {
  mkdirSync(dirname(program), { recursive: true });
  execFileSync('cc', [
    '-O2',
    '-o',
    program,
    source,
    '-Wl,--no-as-needed',
    ...libraries,
    '-Wl,--as-needed',
    '-ldl',
    '-lm',
  ]);
  return program;
}
