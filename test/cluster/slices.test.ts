import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { startChartCluster, type ChartCluster } from '../support/chart-cluster.ts';
import { eventually } from '../support/eventually.ts';
import type { Cluster } from './cluster.ts';

const MINUTES = 60_000;
const SLICE = 'aquifer.dev/slice';
/** Kubelet says what a node has every ten seconds. */
const LONG_MS = 3 * MINUTES;

jest.setTimeout(10 * MINUTES);

describe('slices on two nodes', () => {
  let chart: ChartCluster;
  let cluster: Cluster;
  const kubectl = (...words: string[]): Promise<string> => chart.kubectl(...words);
  /** A pod that asks for nothing but slices, and computes on them for so long. */
  const sliced = (name: string, slices: number, seconds = 3600): object =>
    chart.pod({ name, slices, command: ['/program/matmul', '/kernels', '64', String(seconds)] });
  const claim = (memory: string, compute: number): object => ({
    apiVersion: 'aquifer.dev/v1alpha1',
    kind: 'VGPUClaim',
    metadata: { name: 'trainer', namespace: 'default' },
    spec: { poolName: 'default', resources: { memory, compute } },
  });
  const poolOf = (oversubscription: object): object => ({
    apiVersion: 'aquifer.dev/v1alpha1',
    kind: 'GPUPool',
    metadata: { name: 'default' },
    spec: { oversubscription },
  });

  /** Slices that the node has and that can be had, as kubelet says and `kubectl describe node` shows. */
  const slicesOf = async (node: string): Promise<string> => {
    const { status } = JSON.parse(await kubectl('get', 'node', node, '--output=json')) as NodeStatus;
    return `${status.allocatable[SLICE] ?? 'none'} of ${status.capacity[SLICE] ?? 'none'}`;
  };
  const untilSlices = (wanted: string): Promise<string> =>
    eventually(
      () => slicesOf('gpu-1'),
      (is) => is === wanted,
      LONG_MS,
    );
  const isRunning = (pod: string): Promise<string> =>
    kubectl('wait', `pod/${pod}`, '--for=condition=Ready', '--timeout=180s');
  const eventsOf = (pod: string): Promise<string> =>
    kubectl('get', 'events', `--field-selector=involvedObject.name=${pod}`, '--output=jsonpath={.items[*].message}');

  beforeAll(async () => {
    chart = await startChartCluster(['operator.replicas=1']);
    cluster = chart.cluster;
    await untilSlices('100 of 100');
  }, 60 * MINUTES);

  afterEach(async () => {
    await kubectl('delete', 'pods,vgpuclaims', '--all', '--wait=false');
    await kubectl('wait', 'vgpuclaims', '--all', '--for=delete', '--timeout=120s');
    await kubectl('wait', 'pods', '--all', '--for=delete', '--timeout=120s');
  });

  afterAll(async () => chart[Symbol.asyncDispose](), 2 * MINUTES);

  test('a pod that asks for nothing but slices computes on its own node, and its claim takes none besides', async () => {
    await cluster.apply(sliced('quarter', 25, 1));
    await kubectl('wait', 'pod/quarter', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=300s');
    expect(await kubectl('logs', 'quarter')).toMatch(/matmul: \d+ products of 64 x 64 in .* s, 0 wrong/);
    expect(await kubectl('get', 'pod', 'quarter', '--output=jsonpath={.spec.nodeName}')).toBe('gpu-1');
    expect(await eventsOf('quarter')).toContain('has its vGPUs on gpu-1: the pod may be scheduled');
    expect(await slicesOf('gpu-1')).toBe('100 of 100');
    expect(await slicesOf('cpu-1')).toBe('none of none');
  });

  test('slices go down when a claim is bound, up when it goes, and a pod that waited for them is not rejected', async () => {
    await cluster.apply(claim('2Gi', 60));
    await kubectl('wait', 'vgpuclaim/trainer', '--for=condition=Bound', '--timeout=120s');
    await untilSlices('40 of 100');
    await cluster.apply(sliced('waiting', 60));
    await eventually(
      () => eventsOf('waiting'),
      (events) => events.includes("needs 60 % of one GPU's compute; the most free is 40 %"),
      LONG_MS,
    );
    await kubectl('delete', 'vgpuclaim', 'trainer');
    await isRunning('waiting');
    await untilSlices('100 of 100');
  });

  test('a claim that comes and goes at once before a pod with slices never makes kubelet reject it', async () => {
    for (let round = 0; round < 3; round++) {
      await cluster.apply(claim('8Gi', 100));
      await kubectl('wait', 'vgpuclaim/trainer', '--for=condition=Bound', '--timeout=120s');
      await cluster.apply(sliced('whole', 100));
      await kubectl('delete', 'vgpuclaim', 'trainer');
      await isRunning('whole');
      await kubectl('delete', 'pod', 'whole');
      await kubectl('wait', 'vgpuclaims', '--all', '--for=delete', '--timeout=120s');
    }
  });

  test('of two pods that want more than there is the second waits, is told why, and runs when the first is over', async () => {
    await cluster.apply(sliced('first', 60));
    await isRunning('first');
    await cluster.apply(sliced('second', 60));
    await eventually(
      () => eventsOf('second'),
      (events) => events.includes('aquifer.dev/slice: 60 in all: needs 4.8Gi on one GPU; the most free is 3.2Gi'),
      LONG_MS,
    );
    expect(await kubectl('get', 'pod', 'second', '--output=jsonpath={.status.phase}')).toBe('Pending');
    await kubectl('delete', 'pod', 'first');
    await isRunning('second');
  });

  test('compute that may be promised twice makes no more slices, and a claim takes as many as it has of the scarcer', async () => {
    await cluster.apply(poolOf({ compute: 200, memory: 100 }));
    await cluster.apply(claim('2Gi', 100));
    await untilSlices('75 of 100');
    await cluster.apply(sliced('most', 75));
    await isRunning('most');
    await cluster.apply(poolOf({ compute: 100, memory: 100 }));
  });

  test('nobody but the operator makes claims that kubelet is to count', async () => {
    const slices = { count: 25, nodeName: 'gpu-1' };
    const spec = { poolName: 'default', resources: { memory: '2Gi', compute: 25 }, slices };
    await expect(cluster.apply({ ...claim('2Gi', 25), spec })).rejects.toThrow(/give a container the limit/);
  });

  test('ResourceQuota counts slices', async () => {
    const quota = {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'slices', namespace: 'default' },
      spec: { hard: { [`requests.${SLICE}`]: '50' } },
    };
    await cluster.apply(quota);
    await eventually(
      () => kubectl('get', 'resourcequota', 'slices', '--output=jsonpath={.status.hard}'),
      (hard) => hard.includes(SLICE),
      LONG_MS,
    );
    await expect(cluster.apply(sliced('greedy', 51))).rejects.toThrow(/exceeded quota: slices/);
    await cluster.apply(sliced('modest', 50));
    await isRunning('modest');
    await kubectl('delete', 'resourcequota', 'slices');
  });
});

interface NodeStatus {
  readonly status: {
    readonly capacity: Readonly<Record<string, string>>;
    readonly allocatable: Readonly<Record<string, string>>;
  };
}
