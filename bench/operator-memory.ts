import { readFileSync } from 'node:fs';
import { startBenchOperator, startClaimCluster } from './claim-cluster.ts';
import { apply } from './claim-writers.ts';
import type { BenchResult } from './result.ts';

const CLAIMS = 10_000;

/** What the operator takes that has bound 10,000 claims, and one that finds them bound when it starts: whichever took more. */
export async function operatorMemory(resources: AsyncDisposableStack): Promise<BenchResult> {
  const cluster = resources.use(await startClaimCluster());
  const binding = resources.use(await startBenchOperator(cluster));
  const names = Array.from({ length: CLAIMS }, (_, i) => `memory-${i}`);
  await apply(cluster, names);
  const bound = peakResidentBytes(binding.pid);
  await binding.stop();
  const restarted = resources.use(await startBenchOperator(cluster));
  const read = peakResidentBytes(restarted.pid);
  await restarted.stop();
  return {
    name: 'operator-10k-claims',
    unit: 'bytes',
    value: Math.max(bound, read),
    samples: 2,
    reference: `the most that was resident at any time, by the kernel: ${bound} after binding them, ${read} after a restart`,
  };
}

function peakResidentBytes(pid: number): number {
  const [, kib = ''] = /^VmHWM:\s+([0-9]+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  if (kib === '') throw new Error(`process ${pid} has no memory`);
  return Number(kib) * 1024;
}
