import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChartCluster, type ChartCluster } from '../support/chart-cluster.ts';
import { ClusterClaims, claimManifest } from '../support/cluster-claims.ts';
import { eventually } from '../support/eventually.ts';
import { MovingPod } from '../support/moving-pod.ts';
import { OurPods } from '../support/our-pods.ts';
import { steadyPods, type SteadyPods } from '../support/steady-pods.ts';
import { crashNode } from './crash-node.ts';
import { NODES } from './topology.ts';

const MINUTES = 60_000;
const LONG_MS = 5 * MINUTES;
/** Leases end, watches end, and those who try again wait longest. */
const OUTAGE_MS = MINUTES;

/** A program that has something better to do when its GPU is gone. */
const GOES_ON = [
  '/usr/local/libexec/aquifer/node',
  '-e',
  "const { status } = require('child_process').spawnSync('/program/steady', ['0', '16'], { stdio: 'inherit' });" +
    "console.log('ended with', status); setInterval(() => {}, 1e6);",
];

jest.setTimeout(15 * MINUTES);

describe('programs on two nodes', () => {
  let chart: ChartCluster;
  let claims: ClusterClaims;
  let moving: MovingPod;
  let ours: OurPods;
  let steady: SteadyPods;

  beforeAll(async () => {
    chart = await startChartCluster(['gpuNodes.softwareGpus=2x8Gi', 'operator.agentGracePeriod=20s']);
    claims = new ClusterClaims(chart);
    moving = new MovingPod(chart);
    ours = new OurPods(chart);
    steady = steadyPods(chart);
  }, 60 * MINUTES);

  afterAll(async () => {
    await chart[Symbol.asyncDispose]();
  }, 2 * MINUTES);

  /** What a test that failed has left would make the others fail. */
  afterEach(async () => {
    await chart.kubectl('uncordon', '--selector=kubernetes.io/os=linux');
    await chart.kubectl('delete', 'deployments,pods,vgpuclaims', '--all', '--timeout=120s');
  });

  /** Pods that compute on both nodes, each on a vGPU of its own. */
  const onBothNodes = (prefix: string): Promise<readonly string[]> =>
    steady.start(...NODES.map(({ name }) => ({ name: `${prefix}-${name}`, node: name })));

  test('go on while every pod of ours but the spawner is replaced', async () => {
    const pods = await onBothNodes('replaced');
    for (const component of ['operator', 'node', 'gpu-node']) await ours.replace(component);
    await steady.end(await onBothNodes('after-replaced'));
    await steady.end(pods);
  });

  test('go on while every process of ours but the spawner is killed', async () => {
    const pods = await onBothNodes('killed');
    await ours.killEach();
    await steady.end(await onBothNodes('after-killed'));
    await steady.end(pods);
  });

  test('go on while the API server is away for a minute and etcd is killed, and claims made then are bound', async () => {
    const pods = await onBothNodes('outage');
    const before = await ours.restarts();
    const { cluster } = chart;
    await cluster.kill('control-plane', 'kube-apiserver');
    await sleep(OUTAGE_MS);
    await cluster.start('control-plane', 'kube-apiserver');
    await eventually(() => isReady(), Boolean, LONG_MS);
    await steady.end(await onBothNodes('after-api-server'));

    await cluster.kill('control-plane', 'etcd');
    await eventually(
      () => isReady(),
      (ready) => !ready,
      LONG_MS,
    );
    await cluster.start('control-plane', 'etcd');
    await eventually(() => isReady(), Boolean, LONG_MS);
    await steady.end(await onBothNodes('after-etcd'));
    await steady.end(pods);
    expect(await ours.restarts()).toEqual(before);
  });

  test('end when their claim is deleted, and a pod goes on if its program wants to', async () => {
    await chart.apply(claimManifest('shared', '1Gi', 25));
    const annotations = { 'aquifer.dev/claim': 'shared' };
    await steady.start({ name: 'ends', annotations }, { name: 'goes-on', annotations, command: GOES_ON });
    await chart.kubectl('delete', 'vgpuclaim', 'shared', '--timeout=120s');
    await chart.kubectl('wait', 'pod/ends', '--for=jsonpath={.status.phase}=Failed', '--timeout=120s');
    for (const name of ['ends', 'goes-on']) {
      await eventually(
        () => chart.kubectl('logs', name),
        (log) => /: CUDA_ERROR_\w+ \(\d+\): /.test(log),
        LONG_MS,
      );
    }
    await eventually(
      () => chart.kubectl('logs', 'goes-on'),
      (log) => log.includes('ended with 1'),
      LONG_MS,
    );
    await claims.allGivenBack();
    expect(await chart.kubectl('get', 'pod', 'goes-on', '--output=jsonpath={.status.phase}')).toBe('Running');

    await chart.apply(...['all', 'of-it'].map((name) => claimManifest(name, '8Gi', 100)));
    for (const name of ['all', 'of-it']) await claims.inPhase(name, 'Bound');
  });

  test('are 60 at once, beside 200 claims: as many are bound as fit, and in the end all have run and all is given back', async () => {
    const named = Array.from({ length: 200 }, (_, i) => claimManifest(`crowd-${i}`, '96Mi', 1));
    const annotations = { 'aquifer.dev/memory': '64Mi', 'aquifer.dev/compute': '1' };
    const command = ['/program/steady', '20', '8'];
    const pods = Array.from({ length: 60 }, (_, i) => chart.pod({ name: `crowd-${i}`, annotations, command }));
    await chart.apply(...named, ...pods);
    const all = await claims.settled();
    expect(all.filter(({ metadata }) => metadata.labels?.['named'] === 'true')).toHaveLength(200);

    await chart.kubectl('delete', 'vgpuclaims', '--selector=named=true', '--wait=false');
    const names = pods.map(({ metadata }) => `pod/${metadata.name}`);
    await chart.kubectl('wait', ...names, '--for=jsonpath={.status.phase}=Succeeded', '--timeout=300s');
    for (const name of names) expect(await chart.kubectl('logs', name)).toContain('steady: 20 rounds, 0 wrong');
    await claims.allGivenBack();
    await chart.kubectl('delete', ...names);
  });

  test('go on while the node of their GPU is drained, and what ran there moves', async () => {
    const pods = await steady.start({ name: 'stays', node: 'cpu-1' });
    await moving.startOn('gpu-1');
    await chart.kubectl('drain', 'gpu-1', '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=180s');
    await moving.computes('cpu-1');
    await chart.kubectl('uncordon', 'gpu-1');
    await steady.end(pods);
  });

  test('end when the node of their GPU dies; its claims are Lost until it is back, and what ran there moves', async () => {
    await chart.apply(claimManifest('kept', '1Gi', 25));
    const annotations = { 'aquifer.dev/claim': 'kept' };
    const before = await claims.inPhase('kept', 'Bound');
    await steady.start({ name: 'cut', node: 'cpu-1', annotations });
    await moving.startOn('gpu-1');
    const dead = await crashNode(chart.cluster, 'gpu-1');
    await claims.inPhase('kept', 'Lost');
    await chart.kubectl('wait', 'pod/cut', '--for=jsonpath={.status.phase}=Failed', '--timeout=180s');
    expect(await chart.kubectl('logs', 'cut')).toMatch(/: CUDA_ERROR_\w+ \(\d+\): /);
    await chart.kubectl('delete', 'pod', 'cut');
    await chart.kubectl('delete', 'node', 'gpu-1');
    await moving.isReplaced();

    await dead.startAgain();
    await chart.kubectl('wait', '--for=create', 'node/gpu-1', '--timeout=180s');
    await chart.kubectl('label', 'node', 'gpu-1', 'aquifer.dev/gpu=true');
    const after = await claims.inPhase('kept', 'Bound');
    expect(after?.status?.allocations).toEqual(before?.status?.allocations);
    await steady.end(await steady.start({ name: 'again', node: 'cpu-1', annotations }));
    await moving.computes('cpu-1');
    await moving.remove();
    await chart.isUp();
  });

  const isReady = (): Promise<boolean> =>
    chart.cluster.kubectl(['get', '--raw', '/readyz', '--request-timeout=5s']).then(
      () => true,
      () => false,
    );
});
