import { execFileSync } from 'node:child_process';
import type { BenchResult } from './result.ts';

const CARGO = ['run', '--release', '--locked', '--quiet', '--manifest-path', 'native/Cargo.toml'];

/** The interpreter beside the same work in C: native/ptx/examples/bench.rs measures and prints a result a line. */
export async function measure(): Promise<readonly BenchResult[]> {
  const lines = execFileSync('cargo', [...CARGO, '--package', 'aquifer-ptx', '--example', 'bench'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return lines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as BenchResult);
}
