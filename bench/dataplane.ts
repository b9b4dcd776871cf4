import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { startServe, type Serve } from '../test/support/serve.ts';
import type { BenchResult } from './result.ts';

const ROOT = resolve(import.meta.dirname, '..');
const PROGRAM = join(ROOT, 'native/target/release/aquifer-bench');
const SOFTWARE_GPU = join(ROOT, 'build/dist/lib/aquifer/softgpu');

/** Kernels are checked and then done at once: what is left is the way to them. */
const NULL_KERNELS = { SOFTGPU_NULL_KERNELS: '1' };

const POOL = { apiVersion: 'aquifer.dev/v1alpha1', kind: 'GPUPool', metadata: { name: 'default' }, spec: {} };
const CLAIM = {
  apiVersion: 'aquifer.dev/v1alpha1',
  kind: 'VGPUClaim',
  metadata: { name: 'bench' },
  spec: { poolName: 'default', resources: { memory: '2Gi', compute: 100 } },
};

/** The program prints a result a line. */
const resultsOf = (stdout: string): readonly BenchResult[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as BenchResult);

/** The same program on the software GPU itself, without Aquifer. */
async function direct(): Promise<readonly BenchResult[]> {
  const env = { ...process.env, ...NULL_KERNELS, LD_LIBRARY_PATH: SOFTWARE_GPU };
  return resultsOf((await promisify(execFile)(PROGRAM, ['direct'], { env })).stdout);
}

/** The program under `aquifer run`. @throws Error with what it said. */
async function forwarded(
  serve: Serve,
  over: 'unix' | 'tls',
  where: readonly string[],
): Promise<readonly BenchResult[]> {
  console.error(`  over ${over} …`);
  const { code, stdout, stderr } = await serve.cli(['run', ...where, '--', PROGRAM, over]);
  if (code !== 0) throw new Error(`the program over ${over} ended with ${code}: ${stderr}`);
  return resultsOf(stdout);
}

export async function measure(resources: AsyncDisposableStack): Promise<readonly BenchResult[]> {
  const directory = mkdtempSync(join(tmpdir(), 'aquifer-bench-'));
  try {
    const serve = resources.use(await startServe({ env: NULL_KERNELS }));
    const manifest = [POOL, CLAIM].map((object) => JSON.stringify(object)).join('\n---\n');
    const applied = await serve.cli(['apply', '-f', '-'], { stdin: manifest });
    if (applied.code !== 0) throw new Error(applied.stderr);
    const unix = await forwarded(serve, 'unix', ['--claim', 'bench']);
    const ticket = join(directory, 'ticket.json');
    writeFileSync(ticket, (await serve.cli(['ticket', 'bench'])).stdout);
    const tls = await forwarded(serve, 'tls', ['--ticket', ticket]);
    return [...(await direct()), ...unix, ...tls];
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
