import { startContainer } from '../test/guest/containers.ts';
import { BENCH_PROGRAM } from '../test/guest/product-disk.ts';
import { environment, inTurns, LONG_MS, p50Of, type Around } from './guest-program.ts';
import { percentile, type BenchResult } from './result.ts';

const NESTED_ROUNDS = 11;
const START_ROUNDS = 15;

/** A wait for the worker in a nested container beside the same in the guest itself. */
export async function nestedOverRoot({ guest, socket }: Around): Promise<BenchResult> {
  const command = ['/run/bench/aquifer-bench', 'nested', 'waits'];
  const mounts = [{ source: '/usr/local/libexec', destination: '/run/bench' }];
  const container = { name: 'nested', runtime: 'crun', command, mounts, device: 'bench-all' } as const;
  // The first run makes its bundle, and is not measured: who waits for a container to end keeps the guest's only processor busy.
  await (await startContainer(guest, container)).ended(LONG_MS);
  const measured = async (line: string): Promise<number> =>
    p50Of(await guest.exec(line, LONG_MS), 'synchronize.nested');
  const contained = () => measured(`crun run --bundle /run/bundles/${container.name} ${container.name}`);
  const itself = () => measured(`${environment(socket)} ${BENCH_PROGRAM} nested waits`);
  const beside = await inTurns(NESTED_ROUNDS, [contained, itself], (round) => {
    console.error(`  nested over root: ${round} …`);
  });
  const reference = 'the same wait by a program of the guest itself';
  return { name: 'nested-over-root', unit: 'ns', reference, ...beside };
}

/** What a vGPU adds to the start of a container that does nothing, by the host's clock. */
export async function containerStart({ guest, host }: Around): Promise<BenchResult> {
  // The first run of each makes its bundle.
  const container = { runtime: 'crun', command: ['true'] } as const;
  await (await startContainer(guest, { ...container, name: 'plain' })).ended(LONG_MS);
  await (await startContainer(guest, { ...container, name: 'with-vgpu', device: 'bench-all' })).ended(LONG_MS);
  const start = async (name: string): Promise<number> => {
    const startedAt = performance.now();
    await guest.exec(`crun run --bundle /run/bundles/${name} ${name}`, LONG_MS);
    return performance.now() - startedAt;
  };
  console.error(`  container start: ${START_ROUNDS} rounds …`);
  const added: number[] = [];
  for (let round = 0; round < START_ROUNDS; round += 1) {
    const without = await start('plain');
    added.push((await start('with-vgpu')) - without);
  }
  return {
    name: `container-start.${host.acceleration === 'kvm' ? 'kvm' : 'emulated'}`,
    unit: 'ms',
    p50: percentile(added, 50),
    p99: percentile(added, 99),
    samples: added.length,
    reference: 'the same container without a vGPU, whose start is taken off',
  };
}
