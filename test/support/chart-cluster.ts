import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from '../cluster/cluster.ts';
import type { Ran } from '../cluster/run.ts';
import type { NodeName } from '../cluster/topology.ts';
import { CHART, NAMESPACE } from './chart.ts';
import { compileExample, compileTestProgram, KERNELS } from './example-programs.ts';

const REPOSITORY = resolve(import.meta.dirname, '../..');
const { version } = JSON.parse(readFileSync(`${REPOSITORY}/package.json`, 'utf8')) as { readonly version: string };
const VALUES = ['gpuNodes.softwareGpus=1x8Gi', 'image.pullPolicy=Never'];
const REACHED_MS = 180_000;
const POLL_MS = 500;
const WORKLOADS = ['deployment/aquifer-operator', 'daemonset/aquifer-node', 'daemonset/aquifer-gpu-node'];

/** What a pod computes, and where. */
export interface ProgramPod {
  readonly name: string;
  readonly command: readonly string[];
  /** Default: 1Gi and 25 percent of a GPU for the pod alone. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly node?: NodeName;
  /** Limit of `aquifer.dev/slice`; no annotations then. */
  readonly slices?: number;
}

/** A real cluster with the chart installed and the default pool, for programs on both nodes. Disposing it removes all. */
export interface ChartCluster extends AsyncDisposable {
  readonly cluster: Cluster;
  /** What kubectl printed, as soon as the API server can be reached. @throws Error when it fails. */
  kubectl(...words: readonly string[]): Promise<string>;
  apply(...objects: readonly object[]): Promise<string>;
  /** kubectl in the namespace of the chart. */
  system(...words: readonly string[]): Promise<string>;
  /** Installs or upgrades the chart, with values as `--set` takes them. */
  helm(verb: 'install' | 'upgrade', values?: readonly string[]): Promise<unknown>;
  /** Waits until all that the chart started is up. */
  isUp(): Promise<void>;
  /** The UIDs of a component's pods: others when they have been replaced. */
  uids(component: string): Promise<string>;
  /** A pod without any privilege that runs a program of `/program` on a vGPU. */
  pod(wish: ProgramPod): PodManifest;
}

export interface PodManifest {
  readonly apiVersion: 'v1';
  readonly kind: 'Pod';
  readonly metadata: { readonly name: string; readonly annotations: Readonly<Record<string, string>> };
  readonly spec: object;
}

/** Needs the images of `make images`. @throws Error without them. */
export async function startChartCluster(values: readonly string[] = []): Promise<ChartCluster> {
  const archives = ['operator', 'node'].map((name) => `${REPOSITORY}/build/images/${name}.tar`);
  if (!archives.every((archive) => existsSync(archive))) throw new Error('make images first');
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'aq-chart-program-'));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755); // The pods are not root.
  compileExample('matmul', folder);
  compileTestProgram('steady', folder);
  const cluster = stack.use(await Cluster.forTest());
  for (const archive of archives) await cluster.load(archive);

  const kubectl = (...words: readonly string[]): Promise<string> => reached(() => cluster.kubectl(words));
  const system = (...words: readonly string[]): Promise<string> => kubectl(...words, `--namespace=${NAMESPACE}`);
  const helm: ChartCluster['helm'] = (verb, more = []) => {
    const set = [...VALUES, ...values, ...more].flatMap((value) => ['--set', value]);
    return cluster.helm([verb, 'aquifer', CHART, '--namespace', NAMESPACE, ...set]);
  };
  const isUp = async (): Promise<void> => {
    for (const workload of WORKLOADS) await system('rollout', 'status', workload, '--timeout=300s');
    const spawner = '--selector=app.kubernetes.io/component=spawner';
    await system('wait', 'pod', spawner, '--for=condition=Ready', '--timeout=300s');
  };
  await kubectl('label', 'node', 'gpu-1', 'aquifer.dev/gpu=true');
  await kubectl('create', 'namespace', NAMESPACE);
  await helm('install');
  await isUp();
  await kubectl('apply', `--filename=${REPOSITORY}/examples/pool.yaml`);
  const owned = stack.move();
  return {
    cluster,
    kubectl,
    apply: (...objects) => reached(() => cluster.apply(...objects)),
    system,
    helm,
    isUp,
    uids: (component) =>
      system(
        'get',
        'pods',
        `--selector=app.kubernetes.io/component=${component}`,
        '--output=jsonpath={.items[*].metadata.uid}',
      ),
    pod: (wish) => programPod(wish, folder),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const NOT_REACHED =
  /Unable to connect to the server|TLS handshake timeout|connection refused|i[/]o timeout|request timed out|did not complete within/;

/** Repeats what never reached the API server: on a machine with much to do even a handshake takes too long at times. */
async function reached(ask: () => Promise<Ran>): Promise<string> {
  const deadline = Date.now() + REACHED_MS;
  for (;;) {
    try {
      return (await ask()).stdout;
    } catch (error) {
      if (!NOT_REACHED.test(String(error)) || Date.now() > deadline) throw error;
    }
    await sleep(POLL_MS);
  }
}

const ANNOTATIONS = { 'aquifer.dev/memory': '1Gi', 'aquifer.dev/compute': '25' };

/** The operator's image has the C library that the programs want. */
function programPod({ name, command, slices, node, ...wish }: ProgramPod, folder: string): PodManifest {
  const { annotations = slices === undefined ? ANNOTATIONS : {} } = wish;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, annotations },
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 5,
      ...(node === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': node } }),
      securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'main',
          image: `aquifer.dev/operator:${version}`,
          imagePullPolicy: 'Never',
          command,
          ...(slices === undefined ? {} : { resources: { limits: { 'aquifer.dev/slice': slices } } }),
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
  };
}
