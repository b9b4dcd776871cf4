import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');

/** The PTX of the example kernels. */
export const KERNELS = join(ROOT, 'examples/kernels');

/** Compiles an example into `directory` and returns its path: an ordinary CUDA program that knows nothing of us. */
export function compileExample(name: 'matmul' | 'histogram', directory: string): string {
  mkdirSync(directory, { recursive: true });
  const program = join(directory, name);
  execFileSync('cc', ['-O2', '-o', program, join(ROOT, 'examples', `${name}.c`), '-ldl', '-lm']);
  return program;
}
