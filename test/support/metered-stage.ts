import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Kinds } from '../../src/api/kinds.ts';
import { kindResources } from '../../src/kube/resource.ts';
import { kubeStore } from '../../src/kube/store.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { createServiceAccount, grantAgents } from './agent-token.ts';
import { startClusterNode, type ClusterNode } from './cluster-node.ts';
import { RULES } from './dashboards.ts';
import { eventually } from './eventually.ts';
import { compileTestProgram } from './example-programs.ts';
import { FakeKubelet } from './fake-kubelet.ts';
import { freePort } from './free-port.ts';
import { startKube } from './kube-fixture.ts';
import { claim, POOL } from './objects.ts';
import { startOperatorProcess } from './operator-process.ts';
import { fakeConnector, publishSlices } from './plugin-fixture.ts';
import { startPrometheus, type Prometheus } from './prometheus.ts';
import { startServe, type Ran, type Serve } from './serve.ts';
import { spawnPlugin } from './spawned-plugin.ts';

const NAMESPACE = 'team-a';
const SLOT = 'aquifer.dev/slot';
const NODE = 'gpu-a';
const LONG_MS = 120_000;

/** One of each process, with programs on their GPUs, and a Prometheus that reads them all. */
export interface MeteredStage extends AsyncDisposable {
  readonly prometheus: Prometheus;
  readonly serve: Serve;
  readonly node: ClusterNode;
  /** Name of each process → where it tells its metrics. */
  readonly addresses: Readonly<Record<string, string>>;
  /** Runs a test program on the claim `trainer` of serve. */
  onServe(program: 'steady' | 'misbehave', args: readonly string[]): Promise<Ran>;
  /** Programs run, on serve and in a pod of the cluster; a container is started. */
  work(): Promise<void>;
}

export async function startMeteredStage(): Promise<MeteredStage> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'aq-metered-'));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const programs = {
    steady: compileTestProgram('steady', folder),
    misbehave: compileTestProgram('misbehave', folder),
  };
  const cluster = stack.use(await startCluster());
  const plugin = stack.use(await startPlugin());
  const served = `127.0.0.1:${await freePort()}`;
  const serve = stack.use(await startServe({ args: ['--metrics-listen', served] }));

  const addresses = {
    serve: served,
    operator: cluster.operator,
    agent: cluster.node.metricsAddress(),
    'device-plugin': plugin.address,
  };
  const prometheus = stack.use(await startPrometheus({ scrape: scrapeOf(addresses), rules: [hastyRules(folder)] }));
  // Claims come once all have been read: a rate needs a value before.
  await eventually(
    () => prometheus.query('up == 1'),
    (up) => up.length === Object.keys(addresses).length,
    LONG_MS,
  );
  const { code, stderr } = await serve.cli(['apply', '-f', '-'], {
    stdin: `${POOL}---\n${claim('trainer', '1Gi', 60)}`,
  });
  if (code !== 0) throw new Error(stderr);
  const runInPod = await cluster.boundPod();

  const onServe: MeteredStage['onServe'] = (program, args) =>
    serve.cli(['run', '--claim', 'trainer', '--', programs[program], ...args]);
  const owned = stack.move();
  return {
    prometheus,
    serve,
    node: cluster.node,
    addresses,
    onServe,
    async work() {
      const ran = await Promise.all([onServe('steady', ['100']), runInPod([programs.steady, '100'])]);
      for (const { code: ended, stderr: said } of ran) if (ended !== 0) throw new Error(said);
      await plugin.startContainer();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const scrapeOf = (addresses: Readonly<Record<string, string>>): readonly object[] =>
  Object.entries(addresses).map(([job_name, address]) => ({
    job_name,
    honor_labels: true,
    static_configs: [{ targets: [address] }],
  }));

/** The alerts as they are shipped, but for how long they wait. */
function hastyRules(folder: string): string {
  const path = join(folder, 'rules.yaml');
  writeFileSync(path, readFileSync(RULES, 'utf8').replaceAll(/for: [0-9]+m/g, 'for: 1s'));
  return path;
}

/** An API server, an operator and a node with a GPU. */
async function startCluster() {
  await using stack = new AsyncDisposableStack();
  const kube = stack.use(await startKube([NAMESPACE, 'aquifer-system']));
  const { connection } = kube;
  const store = kubeStore<Kinds>({ connection, clock: systemClock, manager: 'test', resources: kindResources });
  await createServiceAccount(connection, NAMESPACE, 'default');
  await createServiceAccount(connection, 'aquifer-system', 'aquifer-node');
  await grantAgents(connection);
  await store.create('GPUPool', { metadata: { name: 'default' }, spec: {} });
  await connection.call({ method: 'POST', path: '/api/v1/nodes', body: { metadata: { name: NODE } } });
  const replica = stack.use(await startOperatorProcess(kube.api.kubeconfig, ['--agent-grace-period', '15s']));
  const operator = await replica.nodeApi();
  const path = '/api/v1/namespaces/default/configmaps/aquifer-ca';
  const { data } = (await connection.call({ method: 'GET', path })) as { data: Record<string, string> };
  const operatorCa = data['ca.crt'] ?? '';
  const node = stack.use(await startClusterNode({ name: NODE, kube, operator, operatorCa, softwareGpus: '1x8Gi' }));
  const owned = stack.move();
  return {
    node,
    operator: replica.metricsAddress(),
    /** A pod with a claim of its own; what runs programs in it. */
    async boundPod(): Promise<(command: readonly string[]) => Promise<Ran>> {
      const spec = { poolName: 'default', resources: { memory: '1Gi', compute: 10 } };
      const { metadata } = await store.create('VGPUClaim', {
        metadata: { name: 'server', namespace: NAMESPACE },
        spec,
      });
      const phase = async () => (await store.get('VGPUClaim', metadata))?.status?.phase;
      await eventually(phase, (is) => is === 'Bound', LONG_MS);
      const body = {
        metadata: { name: 'pod', annotations: { 'aquifer.dev/claim': 'server' } },
        spec: { nodeName: NODE, containers: [{ name: 'main', image: 'x' }] },
      };
      const pods = `/api/v1/namespaces/${NAMESPACE}/pods`;
      const pod = (await connection.call({ method: 'POST', path: pods, body })) as { metadata: { uid: string } };
      const running = { namespace: NAMESPACE, name: 'pod', uid: pod.metadata.uid };
      await node.startContainer('slot-7', running);
      return (command) => node.run('slot-7', running, command);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A device plugin in a process of its own, whose kubelet starts containers. */
async function startPlugin() {
  await using stack = new AsyncDisposableStack();
  const kubelet = stack.use(new FakeKubelet());
  await kubelet.start();
  stack.use(await fakeConnector(kubelet));
  const port = await freePort();
  stack.use(spawnPlugin(kubelet, port));
  await eventually(
    () => kubelet.devices(SLOT),
    (devices) => devices !== undefined,
    LONG_MS,
  );
  await publishSlices(kubelet, 100, 40);
  const owned = stack.move();
  return {
    address: `127.0.0.1:${port}`,
    async startContainer() {
      await kubelet.call(SLOT, 'Allocate', { containerRequests: [{ devicesIds: ['slot-5'] }] });
      await kubelet.call(SLOT, 'PreStartContainer', { devicesIds: ['slot-5'] });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
