import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CHART, NAMESPACE } from '../support/chart.ts';
import { compileExample, KERNELS } from '../support/example-programs.ts';
import { Cluster } from './cluster.ts';

const MINUTES = 60_000;
const REPOSITORY = resolve(import.meta.dirname, '../..');
const { version } = JSON.parse(readFileSync(`${REPOSITORY}/package.json`, 'utf8')) as { readonly version: string };
const NODES = ['cpu-1', 'gpu-1'];
const VALUES = ['gpuNodes.softwareGpus=1x8Gi', 'image.pullPolicy=Never'];
/** Long enough for an upgrade of all but the spawner. */
const COMPUTE_SECONDS = 60;

jest.setTimeout(10 * MINUTES);

describe('the chart on two nodes', () => {
  let cluster: Cluster;
  let folder: string;
  const kubectl = async (...words: string[]): Promise<string> => (await cluster.kubectl(words)).stdout;
  const helm = (verb: string, values: readonly string[]) => {
    const set = [...VALUES, ...values].flatMap((value) => ['--set', value]);
    return cluster.helm([verb, 'aquifer', CHART, '--namespace', NAMESPACE, ...set]);
  };
  const system = (...words: string[]): Promise<string> => kubectl(...words, `--namespace=${NAMESPACE}`);
  const isUp = async (): Promise<void> => {
    const workloads = ['deployment/aquifer-operator', 'daemonset/aquifer-node', 'daemonset/aquifer-gpu-node'];
    for (const workload of workloads) await system('rollout', 'status', workload, '--timeout=180s');
    await system(
      'wait',
      'pod',
      '--selector=app.kubernetes.io/component=spawner',
      '--for=condition=Ready',
      '--timeout=180s',
    );
  };
  const uids = async (component: string): Promise<string> =>
    system(
      'get',
      'pods',
      `--selector=app.kubernetes.io/component=${component}`,
      '--output=jsonpath={.items[*].metadata.uid}',
    );

  /** A pod without any privilege that computes on a vGPU. The operator's image has the C library that the program wants. */
  const computing = (node: string): object => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `on-${node}`, annotations: { 'aquifer.dev/memory': '1Gi', 'aquifer.dev/compute': '25' } },
    spec: {
      restartPolicy: 'Never',
      nodeSelector: { 'kubernetes.io/hostname': node },
      securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'main',
          image: `aquifer.dev/operator:${version}`,
          imagePullPolicy: 'Never',
          command: ['/program/matmul', '/kernels', '64', String(COMPUTE_SECONDS)],
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          volumeMounts: [
            { name: 'program', mountPath: '/program', readOnly: true },
            { name: 'kernels', mountPath: '/kernels', readOnly: true },
          ],
        },
      ],
      volumes: [
        { name: 'program', hostPath: { path: folder } },
        { name: 'kernels', hostPath: { path: KERNELS } },
      ],
    },
  });

  beforeAll(async () => {
    const archives = ['operator', 'node'].map((name) => `${REPOSITORY}/build/images/${name}.tar`);
    if (!archives.every((archive) => existsSync(archive))) throw new Error('make images first');
    folder = mkdtempSync(join(tmpdir(), 'aq-chart-program-'));
    chmodSync(folder, 0o755); // The pods are not root.
    compileExample('matmul', folder);
    cluster = await Cluster.forTest();
    for (const archive of archives) await cluster.load(archive);
    await kubectl('label', 'node', 'gpu-1', 'aquifer.dev/gpu=true');
    await kubectl('create', 'namespace', NAMESPACE);
    await helm('install', []);
    await isUp();
    await kubectl('apply', `--filename=${REPOSITORY}/examples/pool.yaml`);
  }, 60 * MINUTES);

  afterAll(async () => {
    await cluster.down();
    rmSync(folder, { recursive: true, force: true });
  }, 2 * MINUTES);

  test('pods compute on a GPU of their own node and of another one while all but the spawner is upgraded', async () => {
    for (const node of NODES) await cluster.apply(computing(node));
    for (const node of NODES) await kubectl('wait', `pod/on-${node}`, '--for=condition=Ready', '--timeout=120s');
    const [spawner, agents] = [await uids('spawner'), await uids('gpu-node')];
    await helm('upgrade', ['logLevel=debug']);
    await isUp();
    expect(await uids('spawner')).toBe(spawner);
    expect(await uids('gpu-node')).not.toBe(agents);

    for (const node of NODES) {
      await kubectl('wait', `pod/on-${node}`, '--for=jsonpath={.status.phase}=Succeeded', '--timeout=240s');
      expect(await kubectl('logs', `on-${node}`)).toMatch(/matmul: \d+ products of 64 x 64 in .* s, 0 wrong/);
    }
    await kubectl('wait', 'vgpuclaims', '--all', '--for=delete', '--timeout=120s');
  });
});
