import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { GATEWAY_PORT } from '../test/guest/guest-claim.ts';
import { startJob } from '../test/guest/job.ts';
import { BENCH_PROGRAM } from '../test/guest/product-disk.ts';
import { eventually } from '../test/support/eventually.ts';
import { environment, startOnHost, type Around } from './guest-program.ts';
import { percentile, type BenchResult } from './result.ts';

const MIGRATIONS = 5;
/** Of the bridge that all of the host's guests are on. */
const INTERFACE = 'br0';
const WAIT_MS = 60_000;
/** For as long the program runs undisturbed between two migrations. */
const SETTLED_MS = 2000;
const NS_PER_MS = 1e6;

/**
 * For how long a program that waits for the worker again and again is not heard of when its guest migrates, by the clock of the host
 * at which its calls arrive. What QEMU says that the guest stood still, and one round trip of this run, are taken off.
 */
export async function migrationPause(around: Around, tap: readonly BenchResult[]): Promise<BenchResult> {
  const { guest, socket } = around;
  const roundTripMs = (tap.find(({ name }) => name === 'synchronize.tap')?.p50 ?? Number.NaN) / NS_PER_MS;
  const gaps = gapsOf(await startOnHost(around, ['watch', INTERFACE, String(GATEWAY_PORT)]));
  const job = await startJob(guest, 'progress', `${environment(socket)} exec ${BENCH_PROGRAM} progress`);
  await eventually(
    () => job.output(),
    (said) => said.includes('going on'),
    WAIT_MS,
  );
  const beyond: number[] = [];
  for (let migration = 0; migration < MIGRATIONS; migration += 1) {
    console.error(`  migration ${migration + 1} of ${MIGRATIONS} …`);
    await sleep(SETTLED_MS);
    const before = gaps.length;
    const { downtimeMs } = await guest.migrate();
    await sleep(SETTLED_MS);
    const longest = await eventually(
      () => Math.max(0, ...gaps.slice(before)),
      (gap) => gap >= downtimeMs,
      WAIT_MS,
    );
    beyond.push(longest - downtimeMs - roundTripMs);
  }
  await guest.exec('kill $(pidof aquifer-bench)');
  await job.ended();
  return {
    name: 'migration-pause',
    unit: 'ms',
    p50: percentile(beyond, 50),
    p99: percentile(beyond, 99),
    samples: MIGRATIONS,
    reference: "the guest's own pause as QEMU has it, and one round trip, which are taken off",
  };
}

/** The times in ms during which no program got on, as they are told. */
function gapsOf(watching: ChildProcess): readonly number[] {
  const gaps: number[] = [];
  let rest = '';
  watching.stdout?.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    gaps.push(...lines.map((line) => Number(line) / NS_PER_MS));
  });
  return gaps;
}
