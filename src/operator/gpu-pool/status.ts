import type { GPUPool } from '../../api/kinds.ts';
import type { Condition } from '../../api/meta.ts';
import { formatBytes } from '../../api/quantity.ts';
import { memoryLimit, type GpuEntry, type PoolEntry, type Snapshot } from '../../core/allocation/snapshot.ts';
import { withCondition } from '../condition.ts';
import type { Amounts } from '../inventory.ts';
import type { ClaimsOnPool } from './claim-counts.ts';

export interface PoolStatus {
  readonly observedGeneration: number;
  readonly nodes: number;
  readonly gpus: number;
  readonly capacity: { readonly memory: string; readonly compute: number };
  readonly promised: { readonly memory: string; readonly compute: number };
  readonly claims: ClaimsOnPool;
  readonly conditions: readonly Condition[];
  readonly [field: string]: unknown;
}

export interface PoolView {
  readonly snapshot: Snapshot;
  /** What the pool's claims have. */
  readonly promised: Amounts;
  readonly claims: ClaimsOnPool;
  readonly now: Date;
}

/** What a pool may promise and has promised, in bytes and percent of one GPU. */
export interface PoolAmounts {
  readonly gpus: number;
  readonly capacity: Amounts;
  readonly promised: Amounts;
}

export function poolAmounts(entry: PoolEntry, snapshot: Snapshot, promised: Amounts): PoolAmounts {
  const gpus = entry.nodes.flatMap((n) => snapshot.nodes[n]?.gpus ?? []);
  return {
    gpus: gpus.length,
    capacity: {
      memoryBytes: sum(gpus, (gpu) => memoryLimit(entry, gpu)),
      computePercent: gpus.length * entry.computePercent,
    },
    promised,
  };
}

export function poolStatus(pool: GPUPool, entry: PoolEntry, { snapshot, promised, claims, now }: PoolView): PoolStatus {
  const nodes = entry.nodes.flatMap((n) => snapshot.nodes[n] ?? []);
  const gpus = nodes.flatMap((node) => node.gpus);
  const usable = nodes.flatMap((node) => (node.ready ? node.gpus.filter((gpu) => gpu.healthy) : []));
  const amounts = poolAmounts(entry, snapshot, promised);
  const observedGeneration = pool.metadata.generation;
  const ready = { type: 'Ready', ...readiness(nodes.length, gpus, usable), observedGeneration };
  return {
    observedGeneration,
    nodes: nodes.length,
    gpus: gpus.length,
    capacity: written(amounts.capacity),
    promised: written(amounts.promised),
    claims,
    conditions: withCondition(pool.status?.conditions, ready, now),
  };
}

const written = ({ memoryBytes, computePercent }: Amounts) => ({
  memory: formatBytes(memoryBytes),
  compute: computePercent,
});

type Finding = Pick<Condition, 'status' | 'reason' | 'message'>;

function readiness(nodes: number, gpus: readonly GpuEntry[], usable: readonly GpuEntry[]): Finding {
  if (nodes === 0) {
    return { status: 'False', reason: 'NoNodes', message: "no node has the labels of the pool's nodeSelector" };
  }
  if (gpus.length === 0) return { status: 'False', reason: 'NoGPUs', message: `${count(nodes, 'node')}, but no GPU` };
  const message = `${usable.length} of ${count(gpus.length, 'GPU')} on ${count(nodes, 'node')} can be used`;
  if (usable.length === 0) return { status: 'False', reason: 'NoHealthyGPUs', message };
  return { status: 'True', reason: 'GPUsReady', message };
}

const sum = <T>(items: readonly T[], value: (item: T) => number): number =>
  items.reduce((total, item) => total + value(item), 0);

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;
