import { describe, expect, test } from '@jest/globals';
import { boundTo, claim } from '../../test/support/builders.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { createMetrics } from '../metrics/registry.ts';
import { bindLatency } from './bind-latency.ts';
import { operatorMetrics } from './metrics.ts';
import type { OperatorStats } from './stats.ts';

const GiB = 1024 ** 3;

const stats: OperatorStats = {
  pools: new Map([
    [
      'default',
      {
        gpus: 2,
        capacity: { memoryBytes: 16 * GiB, computePercent: 400 },
        promised: { memoryBytes: 4 * GiB, computePercent: 25 },
      },
    ],
  ]),
  claims: [
    { pool: 'default', phase: 'Bound', reason: 'Bound', count: 3 },
    { pool: '', phase: 'Pending', reason: 'PoolNotFound', count: 1 },
  ],
  nodes: [
    { node: 'gpu-1', isReady: true, reason: 'AgentReady' },
    { node: 'gpu-2', isReady: false, reason: 'AgentLost' },
  ],
  queued: { vgpuclaim: 7, gpunode: 0, gpupool: 0 },
  informers: { VGPUClaim: { objects: 4, lists: 2, failures: 1, following: false } },
};

/** The samples of our own metrics, without those of the process. */
async function scrape(
  current: OperatorStats | undefined,
  use: (m: ReturnType<typeof operatorMetrics>) => void = () => {},
) {
  const metrics = createMetrics();
  use(operatorMetrics(metrics, () => current));
  const first = await metrics.text();
  expect(await metrics.text()).toContain('process_resident_memory_bytes');
  return first.split('\n').filter((line) => line.startsWith('aquifer_'));
}

describe('operatorMetrics', () => {
  test('tells what pools have, how claims stand and how the copies follow', async () => {
    expect(await scrape(stats)).toEqual(
      expect.arrayContaining([
        'aquifer_pool_gpus{pool="default"} 2',
        `aquifer_pool_memory_bytes{pool="default"} ${16 * GiB}`,
        `aquifer_pool_promised_memory_bytes{pool="default"} ${4 * GiB}`,
        'aquifer_pool_compute_ratio{pool="default"} 4',
        'aquifer_pool_promised_compute_ratio{pool="default"} 0.25',
        'aquifer_claims{pool="default",phase="Bound",reason="Bound"} 3',
        'aquifer_claims{pool="",phase="Pending",reason="PoolNotFound"} 1',
        'aquifer_node_ready{node="gpu-1",reason="AgentReady"} 1',
        'aquifer_node_ready{node="gpu-2",reason="AgentLost"} 0',
        'aquifer_workqueue_depth{controller="vgpuclaim"} 7',
        'aquifer_informer_objects{kind="VGPUClaim"} 4',
        'aquifer_informer_lists_total{kind="VGPUClaim"} 2',
        'aquifer_informer_failures_total{kind="VGPUClaim"} 1',
        'aquifer_informer_following{kind="VGPUClaim"} 0',
        'aquifer_operator_leader 1',
      ]),
    );
  });

  test('count the claims once for all metrics of a scrape', async () => {
    let reads = 0;
    const metrics = createMetrics();
    operatorMetrics(metrics, () => (reads++, stats));
    await metrics.text();
    await metrics.text();
    expect(reads).toBe(2);
  });

  test('of a replica that stands by say only that', async () => {
    expect((await scrape(undefined)).filter((line) => !/_(bucket|sum|count|info)\b/.test(line))).toEqual([
      'aquifer_operator_leader 0',
    ]);
  });

  test('count passes and the time that they and binds took, in seconds', async () => {
    const lines = await scrape(stats, ({ onPass, onBound }) => {
      onPass({ controller: 'vgpuclaim', result: 'Done', durationMs: 30 });
      onPass({ controller: 'vgpuclaim', result: 'Conflict', durationMs: 3 });
      onBound(200);
    });
    expect(lines).toEqual(
      expect.arrayContaining([
        'aquifer_reconcile_total{controller="vgpuclaim",result="Done"} 1',
        'aquifer_reconcile_total{controller="vgpuclaim",result="Conflict"} 1',
        'aquifer_reconcile_duration_seconds_sum{controller="vgpuclaim"} 0.033',
        'aquifer_claim_bind_duration_seconds_bucket{le="0.1"} 0',
        'aquifer_claim_bind_duration_seconds_bucket{le="0.25"} 1',
      ]),
    );
  });
});

describe('bindLatency', () => {
  const pending = claim('a', { status: { phase: 'Pending' } });
  const bound = claim('a', { status: boundTo() });

  async function measured(changes: readonly object[]): Promise<number[]> {
    const clock = new ManualClock();
    const waits: number[] = [];
    const onChange = bindLatency(clock, (ms) => waits.push(ms));
    for (const change of changes) {
      onChange({ key: 'team-a/a', ...change });
      await clock.advance(100);
    }
    return waits;
  }

  test('is measured from the first sight of a claim to its first Bound', async () => {
    const fresh = claim('a');
    const steps = [{ after: fresh }, { before: fresh, after: pending }, { before: pending, after: bound }];
    expect(await measured([...steps, { before: bound, after: bound }])).toEqual([200]);
  });

  test('is not measured of claims that were bound already, are gone, or were made anew', async () => {
    const another = claim('a', { metadata: { uid: 'another' }, status: boundTo() });
    expect(await measured([{ after: bound }])).toEqual([]);
    expect(await measured([{ after: pending }, { before: pending }, { after: bound }])).toEqual([]);
    expect(await measured([{ after: pending }, { before: pending, after: another }])).toEqual([]);
  });
});
