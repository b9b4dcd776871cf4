import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../test/support/eventually.ts';
import { compileTestProgram, KERNELS } from '../test/support/example-programs.ts';
import { claim, POOL, sessionsOf } from '../test/support/objects.ts';
import { startServe, type Serve } from '../test/support/serve.ts';
import { percentile, type BenchResult } from './result.ts';

const WINDOWS = 20;
const WINDOW_MS = 1000;
const SETTLE_MS = 2000; // What a claim saved up before its program came is used by then.

/** Where the state file of a software GPU has what its processes used: native/softgpu/README.md. */
const ROWS = { at: 4096, bytes: 64, count: 256, busy: 16 };

/** Nanoseconds of GPU time by pid, as the device itself counts them. */
function deviceBusy(serve: Serve): ReadonlyMap<number, number> {
  const state = readFileSync(join(serve.dataDir, 'softgpu', 'gpu-0'));
  const rows = Array.from({ length: ROWS.count }, (_, n) => ROWS.at + n * ROWS.bytes);
  const used = rows.map((row) => [state.readUInt32LE(row), Number(state.readBigUInt64LE(row + ROWS.busy))] as const);
  return new Map(used.filter(([pid]) => pid !== 0));
}

/** The worker of each claim's one session. */
async function workersByClaim(serve: Serve, claims: number): Promise<ReadonlyMap<string, number>> {
  const sessions = await eventually(
    () => sessionsOf(serve),
    (now) => now.length === claims,
    60_000,
  );
  const directory = join(serve.dataDir, 'run', 'workers');
  const records = readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(join(directory, name), 'utf8')) as { session: string; pid: number });
  return new Map(
    sessions.map(({ session, claim: of }) => {
      const worker = records.find((record) => record.session === session);
      if (worker === undefined) throw new Error(`session ${session} has no worker`);
      return [of, worker.pid];
    }),
  );
}

interface Window {
  readonly wallNs: number;
  /** GPU time of each claim in it. */
  readonly busyNs: ReadonlyMap<string, number>;
}

/** Lets a program run on each claim and reads what the device says that they used, window after window. */
async function windowsOf(percents: readonly number[], resources: AsyncDisposableStack): Promise<readonly Window[]> {
  const directory = mkdtempSync(join(tmpdir(), 'aq-shares-'));
  await using own = resources.use(new AsyncDisposableStack());
  const serve = own.use(await startServe());
  try {
    const saturate = compileTestProgram('saturate', directory);
    const names = percents.map((percent) => `share-${percent}`);
    const claims = percents.map((percent, i) => claim(names[i] ?? '', '256Mi', percent));
    await serve.cli(['apply', '-f', '-'], { stdin: [POOL, ...claims].join('---\n') });
    const running = names.map((name) => serve.start(['run', '--claim', name, '--', saturate, KERNELS]));
    const workers = await workersByClaim(serve, names.length);
    await sleep(SETTLE_MS);
    const read = () => ({ at: process.hrtime.bigint(), busy: deviceBusy(serve) });
    const windows: Window[] = [];
    for (let before = read(); windows.length < WINDOWS;) {
      await sleep(WINDOW_MS);
      const now = read();
      const used = (pid: number) => (now.busy.get(pid) ?? 0) - (before.busy.get(pid) ?? 0);
      windows.push({
        wallNs: Number(now.at - before.at),
        busyNs: new Map([...workers].map(([name, pid]) => [name, used(pid)])),
      });
      before = now;
    }
    for (const { child } of running) child.kill('SIGTERM');
    await Promise.all(running.map(({ ended }) => ended));
    return windows;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Errors in points, of every claim in every window. `whole` is what a share is a share of. */
function errors(percents: readonly number[], windows: readonly Window[], whole: (window: Window) => number): number[] {
  return windows.flatMap((window) =>
    percents.map((percent) => Math.abs(((window.busyNs.get(`share-${percent}`) ?? 0) / whole(window)) * 100 - percent)),
  );
}

const allBusy = ({ busyNs }: Window): number => [...busyNs.values()].reduce((sum, ns) => sum + ns, 0);

const result = (name: string, samples: readonly number[], reference: string): BenchResult => ({
  name,
  unit: 'points',
  p50: percentile(samples, 50),
  p99: percentile(samples, 99),
  value: Math.max(...samples),
  samples: samples.length,
  reference,
});

export async function measure(resources: AsyncDisposableStack): Promise<readonly BenchResult[]> {
  const three = [10, 30, 60];
  const contended = await windowsOf(three, resources);
  const lone = await windowsOf([25], resources);
  const busy = contended.map((window) => (allBusy(window) / window.wallNs) * 100);
  return [
    result('10-30-60', errors(three, contended, allBusy), 'the promised shares of the time that the device was busy'),
    result(
      'lone-25',
      errors([25], lone, ({ wallNs }) => wallNs),
      'the promised share of the time that passed',
    ),
    {
      name: '10-30-60.device-busy',
      unit: '%',
      p50: percentile(busy, 50),
      value: Math.min(...busy),
      samples: busy.length,
      reference: 'the time that passed',
    },
  ];
}
