import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { POD_LABEL, type PodKinds } from '../src/api/pod.ts';
import { connect } from '../src/kube/connection.ts';
import { loadKubeConfig } from '../src/kube/load-config.ts';
import { podResources } from '../src/kube/resource.ts';
import { kubeStore } from '../src/kube/store.ts';
import { Informer } from '../src/runtime/informer.ts';
import { systemClock } from '../src/runtime/system-clock.ts';
import { BUSYBOX_IMAGE } from '../test/cluster/base-images.ts';
import { Cluster } from '../test/cluster/cluster.ts';
import { NAMESPACE as SYSTEM, release } from '../test/support/chart.ts';
import { QUIET } from './quiet-log.ts';

const ROOT = resolve(import.meta.dirname, '..');
const ARCHIVES = ['operator', 'node'].map((name) => resolve(ROOT, `build/images/${name}.tar`));
const VALUES = ['gpuNodes.softwareGpus=4x16Gi', 'image.pullPolicy=Never'];
const WORKLOADS = ['deployment/aquifer-operator', 'daemonset/aquifer-node', 'daemonset/aquifer-gpu-node'];
const NAMESPACE = 'default';
/** The node without GPUs: the vGPUs of its pods are on the other one. */
const NODE = 'cpu-1';

/** What pods are compared by: those that ask for a vGPU, and those that ask for nothing. */
export type Wish = 'vGPU' | 'nothing';

/** Two nodes with the chart installed, the vGPUs of one for pods of the other. */
export interface PodCluster {
  /** Creates the pods at once. @returns milliseconds until the last is seen Running. */
  start(names: readonly string[], wish: Wish): Promise<number>;
  /** Deletes them and waits until they, and what was made for them, are gone. */
  remove(names: readonly string[]): Promise<void>;
}

export async function startPodCluster(resources: AsyncDisposableStack): Promise<PodCluster> {
  if (!ARCHIVES.every((archive) => existsSync(archive))) throw new Error('make images first');
  const cluster = resources.use(await Cluster.forTest());
  await installChart(cluster);
  const connection = resources.use(
    connect({ loadConfig: () => loadKubeConfig(cluster.kubeconfig), clock: systemClock }),
  );
  const everyPod = { Pod: { ...podResources.Pod, selector: {} } };
  const store = kubeStore<PodKinds>({ connection, clock: systemClock, manager: 'bench', resources: everyPod });
  const informer = new Informer<PodKinds, 'Pod'>({ store, kind: 'Pod', clock: systemClock, log: QUIET });
  const stop = new AbortController();
  const ended = informer.run(stop.signal);
  resources.defer(async () => {
    stop.abort();
    await ended;
  });
  await informer.synced;

  /** Resolves once `isSo` holds of all these pods, at the change that made it so. */
  const until = (names: readonly string[], isSo: (name: string) => boolean): Promise<void> =>
    new Promise((done) => {
      const check = (): void => {
        if (!names.every(isSo)) return;
        changes[Symbol.dispose]();
        done();
      };
      const changes = informer.onChange(check);
      check();
    });
  const podOf = (name: string) => informer.get(`${NAMESPACE}/${name}`);
  return {
    async start(names, wish) {
      const from = performance.now();
      const running = until(names, (name) => podOf(name)?.status?.phase === 'Running');
      await Promise.all(names.map((name) => store.create('Pod', podDraft(name, wish))));
      await running;
      const ms = performance.now() - from;
      // Compared with itself, nothing would be slow.
      const asking = names.filter((name) => podOf(name)?.metadata.labels?.[POD_LABEL] === 'true');
      if (asking.length !== (wish === 'vGPU' ? names.length : 0)) throw new Error(`${asking.length} pods have a vGPU`);
      return ms;
    },
    async remove(names) {
      const gone = until(names, (name) => podOf(name) === undefined);
      await Promise.all(names.map((name) => store.delete('Pod', { namespace: NAMESPACE, name })));
      await gone;
      await cluster.kubectl(['wait', 'vgpuclaims', '--all', '--for=delete', '--timeout=120s']);
    },
  };
}

async function installChart(cluster: Cluster): Promise<void> {
  for (const archive of ARCHIVES) await cluster.load(archive);
  await cluster.kubectl(['label', 'node', 'gpu-1', 'aquifer.dev/gpu=true']);
  await cluster.kubectl(['create', 'namespace', SYSTEM]);
  await release('install', { kubeconfig: cluster.kubeconfig, values: VALUES });
  for (const workload of WORKLOADS)
    await cluster.kubectl(['rollout', 'status', workload, `--namespace=${SYSTEM}`, '--timeout=300s']);
  await cluster.kubectl(['apply', `--filename=${resolve(ROOT, 'examples/pool.yaml')}`]);
  await cluster.kubectl(['wait', 'gpupool/default', '--for=condition=Ready', '--timeout=120s']);
  // Kubelet tells the scheduler of slots a moment after the plugin has told kubelet.
  const slots = '--for=jsonpath={.status.allocatable.aquifer\\.dev/slot}=256';
  await cluster.kubectl(['wait', `node/${NODE}`, slots, '--timeout=120s']);
}

/** A pod that sleeps; the smallest vGPU, so that 60 of them fit. */
const podDraft = (name: string, wish: Wish) => ({
  metadata: {
    name,
    namespace: NAMESPACE,
    annotations: wish === 'vGPU' ? { 'aquifer.dev/memory': '256Mi', 'aquifer.dev/compute': '5' } : {},
  },
  spec: {
    nodeSelector: { 'kubernetes.io/hostname': NODE },
    terminationGracePeriodSeconds: 1, // With 0 the API server forgets a pod before kubelet has ended it.
    automountServiceAccountToken: false,
    containers: [{ name: 'main', image: BUSYBOX_IMAGE, imagePullPolicy: 'Never', command: ['sleep', '86400'] }],
  },
});
