import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startChartCluster, type ChartCluster, type PodManifest } from '../support/chart-cluster.ts';
import { connectorKey } from '../support/connector-process.ts';
import { eventually } from '../support/eventually.ts';
import { compileExample, KERNELS } from '../support/example-programs.ts';
import { PREFIX } from '../support/serve.ts';

const MINUTES = 60_000;
const LONG_MS = 5 * MINUTES;
const MATMUL = ['/program/matmul', '/kernels', '64'];
const CORRECT = / 0 wrong/g;

jest.setTimeout(12 * MINUTES);

let chart: ChartCluster;
beforeAll(async () => {
  chart = await startChartCluster();
}, 60 * MINUTES);
afterAll(async () => chart[Symbol.asyncDispose](), 2 * MINUTES);

interface Spec {
  readonly containers: readonly [object];
}

/** The pod as a template of a workload: what controllers make pods of. */
const template = ({ metadata: { annotations }, spec }: PodManifest, app: string, more: object = {}) => ({
  metadata: { labels: { app }, annotations },
  spec: { ...spec, ...more },
});

const logsOf = (app: string): Promise<string> =>
  chart.kubectl('logs', `--selector=app=${app}`, '--all-containers', '--tail=-1', '--ignore-errors').catch(() => '');

const claims = async (...words: readonly string[]): Promise<readonly string[]> =>
  (await chart.kubectl('get', 'vgpuclaims', ...words)).split(/\s+/).filter((word) => word !== '');

const boundNames = (): Promise<readonly string[]> =>
  claims('--output=jsonpath={.items[?(@.status.phase=="Bound")].metadata.name}');

const untilNoClaims = (): Promise<unknown> =>
  eventually(
    () => claims('--output=name'),
    (names) => names.length === 0,
    LONG_MS,
  );

const describePod = (name: string): Promise<string> => chart.kubectl('describe', 'pod', name);

describe('on a real cluster', () => {
  test('each pod of a Job has a vGPU of its own, which goes when the pod has ended', async () => {
    const pod = chart.pod({ name: 'x', command: MATMUL });
    const spec = { completions: 3, parallelism: 2, template: template(pod, 'job') };
    await chart.cluster.apply({ apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'job' }, spec });
    await chart.kubectl('wait', 'job/job', '--for=condition=Complete', '--timeout=300s');
    expect((await logsOf('job')).match(CORRECT)).toHaveLength(3);
    await untilNoClaims();
    await chart.kubectl('delete', 'job', 'job');
  });

  test('each replica of a Deployment has one, and one that is made anew has another', async () => {
    const pod = chart.pod({ name: 'x', command: ['/program/steady', '0', '16'] });
    const spec = {
      replicas: 3,
      selector: { matchLabels: { app: 'replica' } },
      template: template(pod, 'replica', { restartPolicy: 'Always' }),
    };
    await chart.cluster.apply({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'replica' }, spec });
    await chart.kubectl('rollout', 'status', 'deployment/replica', '--timeout=300s');
    const before = await boundNames();
    expect(before).toHaveLength(3);
    await eventually(
      () => logsOf('replica'),
      (logs) => logs.match(/vGPU: /g)?.length === 3,
      LONG_MS,
    );
    await chart.kubectl('delete', 'pod', '--selector=app=replica', '--wait=false');
    const areNew = (names: readonly string[]) => names.length === 3 && names.every((name) => !before.includes(name));
    await eventually(boundNames, areNew, LONG_MS);
    await chart.kubectl('rollout', 'status', 'deployment/replica', '--timeout=300s');
    await chart.kubectl('delete', 'deployment', 'replica');
    await untilNoClaims();
  });

  test('two containers and a sidecar of a pod share its claim; a plain init container has none and is not kept', async () => {
    const pod = chart.pod({ name: 'several', command: MATMUL });
    const [main] = (pod.spec as Spec).containers;
    const libraryIsThere = [
      '/usr/local/libexec/aquifer/node',
      '-e',
      "console.log('init', require('fs').existsSync('/run/aquifer'))",
    ];
    const spec = {
      ...pod.spec,
      initContainers: [
        { ...main, name: 'init', command: libraryIsThere },
        { ...main, name: 'sidecar', restartPolicy: 'Always', command: ['/program/steady', '0', '16'] },
      ],
      containers: [main, { ...main, name: 'other' }],
    };
    await chart.cluster.apply({ ...pod, spec } as object);
    await chart.kubectl('wait', 'pod/several', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=300s');
    for (const name of ['main', 'other']) {
      expect(await chart.kubectl('logs', 'several', `--container=${name}`)).toMatch(CORRECT);
    }
    expect(await chart.kubectl('logs', 'several', '--container=sidecar')).toContain('vGPU: ');
    expect(await chart.kubectl('logs', 'several', '--container=init')).toBe('init false\n');
    await chart.kubectl('delete', 'pod', 'several');
    await untilNoClaims();
  });

  test('pods of a claim with access Local run on the node of its GPU, and one that may not go there is not scheduled', async () => {
    const annotations = { 'aquifer.dev/claim': 'at-home' };
    const pods = [
      chart.pod({ name: 'follows', command: MATMUL, annotations }),
      chart.pod({ name: 'strays', command: MATMUL, annotations, node: 'cpu-1' }),
    ];
    await chart.cluster.apply(...pods);
    const words = 'ClaimNotFound .* there is no claim at-home in namespace default: create it, or name another';
    await eventually(
      () => describePod('follows'),
      (text) => new RegExp(words).test(text),
      LONG_MS,
    );

    await chart.cluster.apply({
      apiVersion: 'aquifer.dev/v1alpha1',
      kind: 'VGPUClaim',
      metadata: { name: 'at-home', namespace: 'default' },
      spec: { poolName: 'default', access: 'Local', resources: { memory: '1Gi', compute: 25 } },
    });
    await chart.kubectl('wait', '--for=condition=Bound', 'vgpuclaim/at-home', '--timeout=120s');
    await chart.kubectl('wait', 'pod/follows', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=300s');
    expect(await chart.kubectl('get', 'pod', 'follows', '--output=jsonpath={.spec.nodeName}')).toBe('gpu-1');
    expect(await chart.kubectl('logs', 'follows')).toMatch(CORRECT);
    const told = await eventually(
      () => describePod('strays'),
      (text) => text.includes('FailedScheduling'),
      LONG_MS,
    );
    expect(told).toContain('on gpu-1: the pod may be scheduled there, and nowhere else: the claim has access Local');
    await chart.kubectl('delete', 'pod', 'follows', 'strays');
    await chart.kubectl('delete', 'vgpuclaim', 'at-home');
  });

  test('a program outside the cluster computes on a claim with a ticket from kubectl aquifer', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'aq-outside-'));
    try {
      await chart.cluster.apply({
        apiVersion: 'aquifer.dev/v1alpha1',
        kind: 'VGPUClaim',
        metadata: { name: 'lent', namespace: 'default' },
        spec: { poolName: 'default', resources: { memory: '1Gi', compute: 25 } },
      });
      const key = await connectorKey(join(folder, 'aquifer-connector'));
      // kubectl finds the plugin in PATH.
      const env = { PATH: `${PREFIX}/bin:${process.env['PATH']}` };
      const wish = ['aquifer', 'ticket', 'lent', '--for', key, '--timeout', '3m'];
      const { stdout: ticket } = await chart.cluster.kubectl(wish, { env });
      const file = join(folder, 'ticket.json');
      writeFileSync(file, ticket, { mode: 0o600 });
      expect(await chart.kubectl('get', 'ticketrequests', '--output=name')).toBe('');

      // The control plane has a way to the nodes and is none of them: nothing of Aquifer is there.
      const program = [compileExample('matmul', folder), KERNELS, '64'];
      const run = [
        'env',
        `XDG_STATE_HOME=${folder}`,
        `${PREFIX}/bin/aquifer`,
        'run',
        '--ticket',
        file,
        '--',
        ...program,
      ];
      expect((await chart.cluster.enter('control-plane', run)).stdout).toMatch(CORRECT);
      await chart.kubectl('delete', 'vgpuclaim', 'lent');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
