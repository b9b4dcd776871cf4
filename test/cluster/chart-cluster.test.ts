import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { startChartCluster, type ChartCluster } from '../support/chart-cluster.ts';
import { NODES } from './topology.ts';

const MINUTES = 60_000;
/** Long enough for an upgrade of all but the spawner. */
const COMPUTE_SECONDS = '60';

jest.setTimeout(10 * MINUTES);

describe('the chart on two nodes', () => {
  let chart: ChartCluster;

  beforeAll(async () => {
    chart = await startChartCluster();
  }, 60 * MINUTES);

  afterAll(async () => {
    await chart[Symbol.asyncDispose]();
  }, 2 * MINUTES);

  test('pods compute on a GPU of their own node and of another one while all but the spawner is upgraded', async () => {
    const command = ['/program/matmul', '/kernels', '64', COMPUTE_SECONDS];
    await chart.apply(...NODES.map(({ name }) => chart.pod({ name: `on-${name}`, node: name, command })));
    const pods = NODES.map(({ name }) => `on-${name}`);
    for (const pod of pods) await chart.kubectl('wait', `pod/${pod}`, '--for=condition=Ready', '--timeout=120s');
    const [spawner, agents] = [await chart.uids('spawner'), await chart.uids('gpu-node')];
    await chart.helm('upgrade', ['logLevel=debug']);
    await chart.isUp();
    expect(await chart.uids('spawner')).toBe(spawner);
    expect(await chart.uids('gpu-node')).not.toBe(agents);

    for (const pod of pods) {
      await chart.kubectl('wait', `pod/${pod}`, '--for=jsonpath={.status.phase}=Succeeded', '--timeout=240s');
      expect(await chart.kubectl('logs', pod)).toMatch(/matmul: \d+ products of 64 x 64 in .* s, 0 wrong/);
    }
    await chart.kubectl('wait', 'vgpuclaims', '--all', '--for=delete', '--timeout=120s');
  });
});
