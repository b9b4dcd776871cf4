import type { Metrics, Sample } from '../metrics/registry.ts';
import type { Pass } from '../runtime/controller.ts';
import type { InformerStats } from '../runtime/informer.ts';
import type { PoolAmounts } from './gpu-pool/status.ts';
import type { OperatorStats } from './stats.ts';

const BIND_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600];
const PASS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];

/** What the reconcilers tell as it happens. */
export interface OperatorMetrics {
  readonly onPass: (pass: Pass) => void;
  readonly onBound: (waitedMs: number) => void;
}

/** Registers the metrics of an operator. `stats` is asked at each scrape; undefined: this replica stands by. */
export function operatorMetrics(metrics: Metrics, read: () => OperatorStats | undefined): OperatorMetrics {
  const stats = metrics.shared(read);
  registerPools(metrics, () => [...(stats()?.pools ?? [])]);
  registerInformers(metrics, () => Object.entries(stats()?.informers ?? {}));
  metrics.gauge({ name: 'aquifer_operator_leader', help: 'Whether this replica leads: 1 or 0.' }, () => [
    [{}, stats() === undefined ? 0 : 1],
  ]);
  metrics.gauge(
    { name: 'aquifer_claims', help: 'Claims by pool, phase and reason.', labels: ['pool', 'phase', 'reason'] },
    () => (stats()?.claims ?? []).map(({ count, ...labels }) => [labels, count]),
  );
  metrics.gauge(
    {
      name: 'aquifer_node_ready',
      help: 'Whether the agent of a node with GPUs reports: 1 or 0, and why.',
      labels: ['node', 'reason'],
    },
    () => (stats()?.nodes ?? []).map(({ node, isReady, reason }) => [{ node, reason }, Number(isReady)]),
  );
  metrics.gauge(
    { name: 'aquifer_workqueue_depth', help: 'Objects that wait for a pass.', labels: ['controller'] },
    () => Object.entries(stats()?.queued ?? {}).map(([controller, depth]) => [{ controller }, depth]),
  );

  const controller = ['controller'] as const;
  const bound = metrics.histogram({
    name: 'aquifer_claim_bind_duration_seconds',
    help: 'Time from when the operator first saw a claim until it was bound.',
    buckets: BIND_SECONDS,
  });
  const passes = metrics.counter({
    name: 'aquifer_reconcile_total',
    help: 'Passes of reconcilers by how they ended.',
    labels: ['controller', 'result'],
  });
  const durations = metrics.histogram({
    name: 'aquifer_reconcile_duration_seconds',
    help: 'Time that a pass of a reconciler took.',
    labels: controller,
    buckets: PASS_SECONDS,
  });
  return {
    onBound: (waitedMs) => bound({}, waitedMs / 1000),
    onPass(pass) {
      passes({ controller: pass.controller, result: pass.result });
      durations({ controller: pass.controller }, pass.durationMs / 1000);
    },
  };
}

function registerPools(metrics: Metrics, pools: () => readonly (readonly [string, PoolAmounts])[]): void {
  const gauge = (name: `aquifer_pool_${string}`, help: string, value: (amounts: PoolAmounts) => number): void => {
    const read = (): Sample<'pool'>[] => pools().map(([pool, amounts]) => [{ pool }, value(amounts)]);
    metrics.gauge({ name, help, labels: ['pool'] }, read);
  };
  gauge('aquifer_pool_gpus', 'GPUs of the pool.', ({ gpus }) => gpus);
  gauge('aquifer_pool_memory_bytes', 'Memory that the pool may promise.', ({ capacity }) => capacity.memoryBytes);
  gauge('aquifer_pool_promised_memory_bytes', 'Memory promised to claims.', ({ promised }) => promised.memoryBytes);
  gauge(
    'aquifer_pool_compute_ratio',
    'Compute that the pool may promise; 1 is one whole GPU.',
    ({ capacity }) => capacity.computePercent / 100,
  );
  gauge(
    'aquifer_pool_promised_compute_ratio',
    'Compute promised to claims; 1 is one whole GPU.',
    ({ promised }) => promised.computePercent / 100,
  );
}

function registerInformers(metrics: Metrics, informers: () => readonly (readonly [string, InformerStats])[]): void {
  const labels = ['kind'] as const;
  const samples = (value: (stats: InformerStats) => number) => (): Sample<'kind'>[] =>
    informers().map(([kind, stats]) => [{ kind }, value(stats)]);
  metrics.gauge(
    { name: 'aquifer_informer_objects', help: 'Objects that the operator knows.', labels },
    samples(({ objects }) => objects),
  );
  metrics.gauge(
    {
      name: 'aquifer_informer_following',
      help: 'Whether the copy follows the store: 1, or 0 after a failure.',
      labels,
    },
    samples(({ following }) => (following ? 1 : 0)),
  );
  metrics.readCounter(
    { name: 'aquifer_informer_lists_total', help: 'How often all objects of a kind were listed.', labels },
    samples(({ lists }) => lists),
  );
  metrics.readCounter(
    { name: 'aquifer_informer_failures_total', help: 'Lists and watches that failed.', labels },
    samples(({ failures }) => failures),
  );
}

/** Counts the calls of node agents by how they end. */
export function nodeCallCounts(metrics: Metrics): (method: string, code: string) => void {
  const calls = metrics.counter({
    name: 'aquifer_node_api_calls_total',
    help: 'Calls of the agents of nodes that have ended, by method and status code.',
    labels: ['method', 'code'],
  });
  return (method, code) => calls({ method, code });
}
