import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../test/support/eventually.ts';
import { compileTestProgram } from '../test/support/example-programs.ts';
import { claim, POOL, sessionsOf } from '../test/support/objects.ts';
import { startServe, type Serve } from '../test/support/serve.ts';
import { devicePluginBytes } from './device-plugin-memory.ts';
import { operatorMemory } from './operator-memory.ts';
import type { BenchResult } from './result.ts';

const SOFTWARE_GPU = resolve(import.meta.dirname, '../build/dist/lib/aquifer/softgpu');
const READINGS = 20;
const EVERY_MS = 500;

function residentBytes(pid: number): number {
  const [, kib = ''] = /^VmRSS:\s+([0-9]+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  if (kib === '') throw new Error(`process ${pid} has no memory`);
  return Number(kib) * 1024;
}

/** The highest of several readings. */
async function peakBytes(pids: readonly number[]): Promise<readonly number[]> {
  let peaks = pids.map(residentBytes);
  for (let i = 1; i < READINGS; i++) {
    await sleep(EVERY_MS);
    peaks = pids.map((pid, at) => Math.max(residentBytes(pid), peaks[at] ?? 0));
  }
  return peaks;
}

/** The pids of the only worker and of the connector. */
function nativePids(serve: Serve): readonly [number, number] {
  const run = join(serve.dataDir, 'run');
  const pidIn = (path: string) => (JSON.parse(readFileSync(path, 'utf8')) as { readonly pid: number }).pid;
  const [worker = ''] = readdirSync(join(run, 'workers')).filter((name) => name.endsWith('.json'));
  return [pidIn(join(run, 'workers', worker)), pidIn(join(run, 'connector.json'))];
}

/** What the program takes with the driver in its own process: what a worker cannot do without. */
async function driverBytes(program: string, resources: AsyncDisposableStack): Promise<number> {
  const env = { ...process.env, LD_LIBRARY_PATH: SOFTWARE_GPU, SOFTGPU_DEVICES: '1x4Gi' };
  const child = spawn(program, [], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  resources.defer(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data'); // It has its vGPU.
  await sleep(EVERY_MS);
  const [bytes = 0] = await peakBytes([child.pid ?? 0]);
  child.kill('SIGTERM');
  await closed;
  return bytes;
}

export async function measure(resources: AsyncDisposableStack): Promise<readonly BenchResult[]> {
  const operator = await operatorMemory(resources);
  const directory = mkdtempSync(join(tmpdir(), 'aq-memory-'));
  try {
    const program = compileTestProgram('steady', directory);
    const driver = await driverBytes(program, resources);
    const plugin = await devicePluginBytes(resources, async (pid) => (await peakBytes([pid]))[0] ?? NaN);
    const serve = resources.use(await startServe());
    await serve.cli(['apply', '-f', '-'], { stdin: `${POOL}---\n${claim('steady', '1Gi', 50)}` });
    const running = serve.start(['run', '--claim', 'steady', '--', program]);
    await eventually(
      () => sessionsOf(serve),
      (now) => now.length === 1,
      60_000,
    );
    await sleep(EVERY_MS);
    const [worker, connector] = nativePids(serve);
    const [ofServe, ofWorker = 0, ofConnector] = await peakBytes([serve.pid, worker, connector]);
    running.child.kill('SIGTERM');
    await running.ended;
    const result = (name: string, value: number | undefined, reference: string): BenchResult => ({
      name,
      unit: 'bytes',
      ...(value === undefined ? {} : { value }),
      samples: READINGS,
      reference,
    });
    return [
      result('serve', ofServe, 'resident, with one claim and one session; the highest reading'),
      result('worker', ofWorker - driver, `beyond ${driver} bytes of the same program on the driver without Aquifer`),
      result('connector', ofConnector, 'resident, with one session; the highest reading'),
      result('device-plugin', plugin, 'resident, with 800 slices and 500 containers started; the highest reading'),
      operator,
    ];
  } finally {
    rmSync(directory, { recursive: true });
  }
}
