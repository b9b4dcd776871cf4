import { pluginStart } from './plugin-start.ts';
import { startPodCluster, type PodCluster, type Wish } from './pod-cluster.ts';
import { percentile, type BenchResult } from './result.ts';

const STARTS = 30;
const BURST = 60;
const BURST_ROUNDS = 3;

export async function measure(resources: AsyncDisposableStack): Promise<readonly BenchResult[]> {
  const plugin = await pluginStart(resources);
  const cluster = await startPodCluster(resources);
  for (const wish of ['nothing', 'vGPU'] as const) await round(cluster, ['warm-up'], wish);
  const overhead = await startOverhead(cluster);
  return [overhead, await burst(cluster), plugin];
}

/** Starts pods, takes them away again, and returns how long the start took. */
async function round(cluster: PodCluster, names: readonly string[], wish: Wish): Promise<number> {
  const ms = await cluster.start(names, wish);
  await cluster.remove(names);
  return ms;
}

/** Both wishes in turns, so that what else the machine does hits both. */
async function inTurns(cluster: PodCluster, names: readonly string[], rounds: number) {
  const taken: { vGpuMs: number; plainMs: number }[] = [];
  while (taken.length < rounds) {
    const plainMs = await round(cluster, names, 'nothing');
    const vGpuMs = await round(cluster, names, 'vGPU');
    taken.push({ plainMs, vGpuMs });
    console.error(`  ${names.length} pods: ${vGpuMs.toFixed(0)} ms, asking for nothing ${plainMs.toFixed(0)} ms`);
  }
  return taken;
}

async function startOverhead(cluster: PodCluster): Promise<BenchResult> {
  const rounds = await inTurns(cluster, ['alone'], STARTS);
  const overheads = rounds.map(({ vGpuMs, plainMs }) => vGpuMs - plainMs);
  const plain = median(rounds.map(({ plainMs }) => plainMs));
  return {
    name: 'start-overhead',
    unit: 'ms',
    p50: median(overheads),
    p99: percentile(overheads, 99),
    samples: rounds.length,
    reference: `a pod that asks for nothing, in turns: created until seen Running, ${plain.toFixed(0)} ms in the median; the median of the differences`,
    ratio: median(rounds.map(({ vGpuMs }) => vGpuMs)) / plain,
  };
}

async function burst(cluster: PodCluster): Promise<BenchResult> {
  const names = Array.from({ length: BURST }, (_, i) => `burst-${i}`);
  const rounds = await inTurns(cluster, names, BURST_ROUNDS);
  return {
    name: 'burst-60',
    unit: 'ms',
    p50: median(rounds.map(({ vGpuMs }) => vGpuMs)),
    samples: rounds.length,
    reference:
      '60 pods that ask for nothing, in rounds that alternate: created at once until all were seen Running; the median of the ratios',
    ratio: median(rounds.map(({ vGpuMs, plainMs }) => vGpuMs / plainMs)),
  };
}

const median = (samples: readonly number[]): number => percentile(samples, 50);
