import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import type { GuestHost } from '../test/guest/guest-host.ts';
import type { Guest } from '../test/guest/guest.ts';
import type { Serve } from '../test/support/serve.ts';
import { percentile, type BenchResult } from './result.ts';

/** On the host; a guest has its own, BENCH_PROGRAM. */
const PROGRAM = resolve(import.meta.dirname, '../native/target/release/aquifer-bench');
export const LONG_MS = 900_000;

/** What every part of the suite measures with. */
export interface Around {
  readonly host: GuestHost;
  readonly guest: Guest;
  readonly serve: Serve;
  /** Where programs of the guest itself connect to. */
  readonly socket: string;
  readonly resources: AsyncDisposableStack;
}

/** What a program of the guest needs to find its vGPU. */
export const environment = (socket: string): string =>
  `AQUIFER_SOCKET=${socket} LD_LIBRARY_PATH=/usr/local/lib/aquifer/client`;

/** The program prints a result a line. */
export const resultsOf = (output: string): readonly BenchResult[] =>
  output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as BenchResult);

/** @throws Error with what the program said instead. */
export function p50Of(output: string, name: string): number {
  const p50 = resultsOf(output).find((result) => result.name === name)?.p50;
  if (p50 === undefined) throw new Error(`the program did not measure ${name}:\n${output}`);
  return p50;
}

/** Starts the program in the network of the host, until `resources` go. @returns when it has said its first line */
export async function startOnHost(
  { host, resources }: Pick<Around, 'host' | 'resources'>,
  words: readonly string[],
): Promise<ChildProcess> {
  const [command = '', ...rest] = [...host.enter, PROGRAM, ...words];
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  resources.defer(() => void child.kill());
  await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => {
      throw new Error(`aquifer-bench ${words.join(' ')} has ended`);
    }),
  ]);
  return child;
}

/** A measurement beside another. */
export interface Beside {
  readonly p50: number;
  readonly ratio: number;
  readonly samples: number;
}

/**
 * Measures `ours` and `theirs` in rounds: theirs, ours twice, theirs. An emulated guest is slower for seconds and faster again, and so
 * both have as much of that. Of two the better one counts, as what disturbs a single process is none of what is compared; the ratio is
 * the median of those of the rounds.
 */
export async function inTurns(
  rounds: number,
  [ours, theirs]: readonly [() => Promise<number>, () => Promise<number>],
  tell: (round: string) => void,
): Promise<Beside> {
  const [measured, ratios]: [number[], number[]] = [[], []];
  for (let round = 1; round <= rounds; round += 1) {
    tell(`${round} of ${rounds}`);
    const before = await theirs();
    const [first, second] = [await ours(), await ours()];
    ratios.push(Math.min(first, second) / Math.min(before, await theirs()));
    measured.push(first, second);
  }
  return { p50: percentile(measured, 50), ratio: percentile(ratios, 50), samples: rounds };
}
