import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { startContainer } from '../test/guest/containers.ts';
import { giveTicket, offerClaim, serveOn, startGuestConnector } from '../test/guest/guest-claim.ts';
import { GuestHost } from '../test/guest/guest-host.ts';
import type { Guest } from '../test/guest/guest.ts';
import { BENCH_PROGRAM } from '../test/guest/product-disk.ts';
import { percentile, type BenchResult } from './result.ts';

const PROGRAM = resolve(import.meta.dirname, '../native/target/release/aquifer-bench');
const PEER_PORT = 9970;
const LONG_MS = 900_000;
const ROUNDS = 5;
/** Copies of 64 MiB are kept twice. */
const GUEST_MIB = 640;
const NULL_KERNELS = { SOFTGPU_NULL_KERNELS: '1' };
const PARTS = ['enqueue', 'waits', 'copies'];

const POOL = { apiVersion: 'aquifer.dev/v1alpha1', kind: 'GPUPool', metadata: { name: 'default' }, spec: {} };
const CLAIM = {
  apiVersion: 'aquifer.dev/v1alpha1',
  kind: 'VGPUClaim',
  metadata: { name: 'bench' },
  spec: {
    poolName: 'default',
    resources: { memory: '2Gi', compute: 100 },
    nested: { shares: [{ name: 'all', memory: '1Gi', compute: 100 }] },
  },
};

/** The program prints a result a line. */
const resultsOf = (output: string): readonly BenchResult[] =>
  output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as BenchResult);

export async function measure(resources: AsyncDisposableStack): Promise<readonly BenchResult[]> {
  const host = resources.use(await GuestHost.up({ memoryMiB: GUEST_MIB }));
  console.error(`  the guest is run by ${host.acceleration === 'kvm' ? 'KVM' : 'emulation'}`);
  const guest = await host.boot();
  const serve = resources.use(await serveOn(host, { env: NULL_KERNELS }));
  const stdin = [POOL, CLAIM].map((object) => JSON.stringify(object)).join('\n---\n');
  const applied = await serve.cli(['apply', '-f', '-'], { stdin });
  if (applied.code !== 0) throw new Error(applied.stderr);
  await startPeer(host, resources);
  await giveTicket(serve, guest, 'bench');
  const socket = await offerClaim(guest);
  const environment = `AQUIFER_SOCKET=${socket} AQUIFER_BENCH_PEER=${host.address}:${PEER_PORT} LD_LIBRARY_PATH=/usr/local/lib/aquifer/client`;
  const measured: BenchResult[] = [];
  for (const part of PARTS) {
    console.error(`  over tap: ${part} …`);
    measured.push(...resultsOf(await guest.exec(`${environment} ${BENCH_PROGRAM} tap ${part}`, LONG_MS)));
  }
  await giveTicket(serve, guest, 'bench');
  await startGuestConnector(guest);
  return [...measured, await nestedOverRoot(guest, environment), await containerStart(guest)];
}

/** The raw peer of what is measured, on the host: it sees the same network and the same cipher. */
async function startPeer(host: GuestHost, resources: AsyncDisposableStack): Promise<void> {
  const listen = [PROGRAM, 'listen', `${host.address}:${PEER_PORT}`];
  const [command = '', ...words] = [...host.enter, ...listen];
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  resources.defer(() => void child.kill());
  await once(child.stdout, 'data');
}

const synchronizeOf = (output: string): number => {
  const found = resultsOf(output).find(({ name }) => name === 'synchronize.direct');
  if (found?.p50 === undefined) throw new Error(`the program did not measure:\n${output}`);
  return found.p50;
};

/** A wait for the worker in a nested container beside the same in the guest itself, in turns. */
async function nestedOverRoot(guest: Guest, environment: string): Promise<BenchResult> {
  const [nested, root]: [number[], number[]] = [[], []];
  const command = ['/run/bench/aquifer-bench', 'direct', 'waits'];
  const mounts = [{ source: '/usr/local/libexec', destination: '/run/bench' }];
  for (let round = 0; round < ROUNDS; round += 1) {
    console.error(`  nested over root: ${round + 1} of ${ROUNDS} …`);
    root.push(synchronizeOf(await guest.exec(`${environment} ${BENCH_PROGRAM} direct waits`, LONG_MS)));
    const container = { name: `nested-${round}`, runtime: 'crun', command, mounts, device: 'bench-all' } as const;
    nested.push(synchronizeOf((await (await startContainer(guest, container)).ended(LONG_MS)).output));
  }
  const ratios = nested.map((ns, round) => ns / (root[round] ?? Number.NaN));
  return {
    name: 'nested-over-root',
    unit: 'ns',
    p50: percentile(nested, 50),
    samples: ROUNDS,
    reference: 'the same wait by a program of the guest itself',
    ratio: percentile(ratios, 50),
  };
}

/** What a vGPU adds to the start of a container that does nothing, by the host's clock. */
async function containerStart(guest: Guest): Promise<BenchResult> {
  // The first run of each makes its bundle.
  const container = { runtime: 'crun', command: ['true'] } as const;
  await (await startContainer(guest, { ...container, name: 'plain' })).ended(LONG_MS);
  await (await startContainer(guest, { ...container, name: 'with-vgpu', device: 'bench-all' })).ended(LONG_MS);
  const start = async (name: string): Promise<number> => {
    const startedAt = performance.now();
    await guest.exec(`crun run --bundle /run/bundles/${name} ${name}`, LONG_MS);
    return performance.now() - startedAt;
  };
  const added: number[] = [];
  for (let round = 0; round < 3 * ROUNDS; round += 1) {
    const without = await start('plain');
    added.push((await start('with-vgpu')) - without);
  }
  return {
    name: 'container-start',
    unit: 'ms',
    p50: percentile(added, 50),
    p99: percentile(added, 99),
    samples: added.length,
    reference: 'the same container without a vGPU, whose start is taken off',
  };
}
