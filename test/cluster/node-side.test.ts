import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startChartCluster, type ChartCluster } from '../support/chart-cluster.ts';
import { ChartNode } from '../support/chart-node.ts';
import { eventually } from '../support/eventually.ts';
import { steadyPods, type SteadyPods } from '../support/steady-pods.ts';
import { BUSYBOX_IMAGE } from './base-images.ts';
import { FOREIGN_IMAGES, foreignPod, writeForeignImage } from './foreign-images.ts';
import { NODES } from './topology.ts';

const MINUTES = 60_000;
const LONG_MS = 4 * MINUTES;
const STEADY = ['/program/steady', '0', '16'];
const MATMUL = ['/program/matmul', '/kernels', '64'];
/** A plain init container: it begins when the pod's devices were given out, and the program waits for its end. */
const GATE = {
  name: 'gate',
  image: BUSYBOX_IMAGE,
  imagePullPolicy: 'Never',
  command: ['/bin/sh', '-c', 'until test -e /tmp/open; do sleep 0.1; done'],
};

interface PodSpec {
  readonly containers: readonly [{ readonly volumeMounts: readonly object[] }];
  readonly volumes: readonly object[];
}

jest.setTimeout(10 * MINUTES);

let chart: ChartCluster;
let steady: SteadyPods;
let node: ChartNode;
const logsOf = (...words: string[]): Promise<string> => chart.kubectl('logs', ...words).catch(() => '');
const statusOf = (name: string, path: string): Promise<string> =>
  chart.kubectl('get', 'pod', name, `--output=jsonpath={.status.${path}}`).catch(() => '');
const uidOf = (name: string): Promise<string> => chart.kubectl('get', 'pod', name, '--output=jsonpath={.metadata.uid}');
const waitFor = (name: string, what: string): Promise<string> =>
  chart.kubectl('wait', `pod/${name}`, `--for=${what}`, `--timeout=${LONG_MS / 1000}s`);
const computes = (...words: string[]) =>
  eventually(
    () => logsOf(...words),
    (log) => log.includes('vGPU: '),
    LONG_MS,
  );

beforeAll(async () => {
  chart = await startChartCluster();
  steady = steadyPods(chart);
  node = new ChartNode(chart, 'cpu-1');
}, 60 * MINUTES);

afterAll(() => chart[Symbol.asyncDispose]() as Promise<void>, 2 * MINUTES);

describe('where something of a node fails', () => {
  test('a kubelet that restarts cuts no program, and starts pods as before', async () => {
    const before = await steady.start(...NODES.map(({ name }) => ({ name: `before-${name}`, node: name })));
    for (const { name } of NODES) await chart.cluster.kill(name, 'kubelet');
    for (const { name } of NODES) await chart.cluster.start(name, 'kubelet');
    const after = await steady.start({ name: 'after', node: 'cpu-1' });
    await steady.end([...before, ...after]);
  });

  test('a plugin that is killed between Allocate and PreStart is waited for', async () => {
    const neighbours = await steady.start({ name: 'neighbour', node: 'cpu-1' });
    const pod = chart.pod({ name: 'gated', node: 'cpu-1', command: STEADY });
    await chart.cluster.apply({ ...pod, spec: { ...pod.spec, initContainers: [GATE] } });
    await waitFor('gated', 'jsonpath={.status.initContainerStatuses[0].state.running}');
    expect(await node.slotsOf('gated')).toHaveLength(1);

    await node.signalPlugin('STOP'); // From here on it answers nothing: PreStart is to meet it so, or gone.
    await chart.kubectl('exec', 'gated', '--container=gate', '--', 'touch', '/tmp/open');
    await waitFor('gated', 'jsonpath={.status.initContainerStatuses[0].state.terminated}');
    await node.signalPlugin('KILL');
    await computes('gated', '--container=main');
    await steady.end([...neighbours, 'gated']);
  });

  test('a plugin that is killed while kubelet is away is back before it, and no pod is rejected', async () => {
    const neighbours = await steady.start({ name: 'neighbour', node: 'cpu-1' });
    await chart.cluster.kill('cpu-1', 'kubelet');
    await node.signalPlugin('KILL');
    await chart.cluster.apply(chart.pod({ name: 'comes', node: 'cpu-1', command: STEADY }));
    await waitFor('comes', 'condition=PodScheduled');
    await node.pluginIsBack();
    await chart.cluster.start('cpu-1', 'kubelet');
    await computes('comes');
    await steady.end([...neighbours, 'comes']);
  });

  test('a container that ends again and again has its vGPU each time', async () => {
    const pod = chart.pod({ name: 'loops', node: 'cpu-1', command: MATMUL });
    await chart.cluster.apply({ ...pod, spec: { ...pod.spec, restartPolicy: 'Always' } });
    await eventually(
      () => statusOf('loops', 'containerStatuses[0].restartCount'),
      (count) => Number(count) >= 2,
      LONG_MS,
    );
    // The program says so by its exit code.
    expect(await statusOf('loops', 'containerStatuses[0].lastState.terminated.exitCode')).toBe('0');
    await chart.kubectl('delete', 'pod', 'loops', '--now');
  });

  test('a pod of the same name as one that was deleted by force has a vGPU of its own', async () => {
    await steady.start({ name: 'twin', node: 'cpu-1' });
    const first = await uidOf('twin');
    await chart.kubectl('delete', 'pod', 'twin', '--force', '--grace-period=0');
    const second = await steady.start({ name: 'twin', node: 'cpu-1' });
    expect(await uidOf('twin')).not.toBe(first);
    await steady.end(second);
    await chart.kubectl('wait', 'vgpuclaims', '--all', '--for=delete', '--timeout=240s');
  });
});

describe('strangers on a node', () => {
  /** What a pod is told that has another's slot mounted, and points its program there. */
  async function toldAtSlotOf(victim: string): Promise<string> {
    const [slot = ''] = await node.slotsOf(victim);
    const name = `at-${victim}`;
    const pod = chart.pod({ name, node: 'cpu-1', command: MATMUL });
    const { containers, volumes, ...spec } = pod.spec as PodSpec;
    const stolen = { name: 'stolen', hostPath: { path: `/run/aquifer/slots/${slot}`, type: 'Directory' } };
    const container = {
      ...containers[0],
      env: [{ name: 'AQUIFER_SOCKET', value: '/stolen/session.sock' }],
      volumeMounts: [...containers[0].volumeMounts, { name: 'stolen', mountPath: '/stolen' }],
    };
    await chart.cluster.apply({ ...pod, spec: { ...spec, containers: [container], volumes: [...volumes, stolen] } });
    await waitFor(name, 'jsonpath={.status.phase}=Failed');
    const told = await logsOf(name);
    await chart.kubectl('delete', 'pod', name, '--now');
    return told;
  }

  test('at the socket of a pod that computes are refused and logged, and the pod goes on', async () => {
    const victims = await steady.start({ name: 'victim', node: 'cpu-1' });
    const uid = await uidOf('victim');
    expect(await toldAtSlotOf('victim')).toContain('this socket belongs to another container');
    const lines = (await node.connectorLog()).split('\n').filter((line) => line.includes('a stranger at a slot'));
    expect(lines.at(-1)).toContain(`of pod ${uid}`);
    await steady.end(victims);
  });

  test('at the socket of a pod that has not computed yet get nothing, and the pod has what is its own', async () => {
    const command = ['/usr/local/libexec/aquifer/node', '-e', 'setInterval(() => undefined, 60_000)'];
    await chart.cluster.apply(chart.pod({ name: 'idle', node: 'cpu-1', command }));
    await waitFor('idle', 'condition=Ready');
    expect(await toldAtSlotOf('idle')).toContain('there is no pod');
    expect(await chart.kubectl('exec', 'idle', '--', ...MATMUL)).toContain(' 0 wrong');
    await chart.kubectl('delete', 'pod', 'idle', '--now');
  });

  test("with another node's token get no ticket for a pod, and write no GPUNode", async () => {
    const victims = await steady.start({ name: 'victim', node: 'cpu-1' });
    const wish = { podNamespace: 'default', podName: 'victim', podUid: await uidOf('victim'), container: 'main' };
    expect(await new ChartNode(chart, 'gpu-1').askTicket(wish)).toBe('PodNotFound');
    expect(await node.askTicket(wish)).toBe('granted');
    const patch = ['patch', 'gpunode', 'gpu-1', '--type=merge', '--patch={"metadata":{"labels":{"a":"b"}}}'];
    await expect(node.kubectlAsAgent(...patch)).rejects.toThrow('may write its own GPUNode');
    await steady.end(victims);
  });
});

describe('programs of images that know nothing of us', () => {
  beforeAll(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'aq-foreign-images-'));
    try {
      for (const image of FOREIGN_IMAGES) await chart.cluster.load(await writeForeignImage(image, folder), ['cpu-1']);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 10 * MINUTES);

  async function endOf(pod: ReturnType<typeof foreignPod>): Promise<string> {
    const { name } = pod.metadata;
    await chart.cluster.apply(pod);
    await waitFor(name, 'jsonpath={.status.containerStatuses[0].state.terminated}');
    const code = await statusOf(name, 'containerStatuses[0].state.terminated.exitCode');
    return `${code}: ${await logsOf(name)}`;
  }

  test.each([
    ["Debian's layout of libraries, and no loader cache", foreignPod('debian')],
    ["Red Hat's layout of libraries", foreignPod('red-hat')],
    ['an LD_LIBRARY_PATH of their own', foreignPod('own-libraries')],
    ['another libcuda in their loader cache', foreignPod('debian-compat')],
    ['another libcuda, and a root that can be written', foreignPod('debian-compat', { readOnlyRoot: false })],
    ["Red Hat's layout and another libcuda in a cache for old loaders too", foreignPod('red-hat-compat')],
  ])('compute with %s', async (_, pod) => {
    expect(await endOf(pod)).toMatch(/^0: vGPU: .*\nmatmul: \d+ products of 64 x 64 in .* s, 0 wrong\n$/);
  });

  test.each(['debian-compat', 'red-hat-compat'] as const)(
    'load the other libcuda of %s without a vGPU',
    async (image) => {
      expect(await endOf(foreignPod(image, { asks: false }))).toBe('1: libcuda.so.1 has no cuDeviceGetCount\n');
    },
  );

  // The last one: it takes the plugin away.
  test('the hook that sees to them is known to the runtime as long as the plugin is there', async () => {
    const known = async (): Promise<string> => (await chart.cluster.enter('cpu-1', ['ls', '/run/cdi'])).stdout;
    expect(await known()).toContain('aquifer.dev-client.json');
    await chart.system('delete', 'daemonset', 'aquifer-node', '--cascade=foreground', '--timeout=240s');
    expect(await known()).not.toContain('aquifer');
  });
});
