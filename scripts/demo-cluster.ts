/** `make demo-cluster`: Aquifer on a real Kubernetes of two nodes, of which one has a GPU made of software. Leaves nothing running. */
import { constants } from 'node:os';
import { join } from 'node:path';
import { Cluster } from '../test/cluster/cluster.ts';
import type { Ran } from '../test/cluster/run.ts';
import { eventually } from '../test/support/eventually.ts';
import { clusterPrometheus } from './demo/cluster-prometheus.ts';
import { ensure, say, sayCommand, sayOutput, show } from './demo/narrator.ts';

const EXAMPLES = 'examples/kubernetes';
const WAIT_MS = 120_000;
/** For whatever waits for something: what it waits for takes seconds. */
const TIMEOUT = `--timeout=${WAIT_MS / 1000}s`;
const SYSTEM = 'aquifer-system';
const ARCHIVES = ['operator', 'node', 'examples'].map((name) =>
  join(import.meta.dirname, '../build/images', `${name}.tar`),
);

/** Runs a command as a user would type it, and shows it with what it says. */
async function type(cluster: Cluster, line: string): Promise<Ran> {
  const [program, ...words] = line.split(' ');
  const shown = words.filter((word) => word !== TIMEOUT);
  sayCommand([program ?? '', ...shown]);
  const ran = await (program === 'helm' ? cluster.helm(words) : cluster.kubectl(words));
  sayOutput(ran.stdout);
  return ran;
}

async function computes(cluster: Cluster, pod: string, node: string): Promise<void> {
  await cluster.kubectl(['wait', `pod/${pod}`, '--for=jsonpath={.status.phase}=Running', TIMEOUT]);
  const { stdout } = await type(cluster, `kubectl get pod ${pod} --output=wide`);
  ensure(stdout.includes(node), `${pod} is not on ${node}`);
}

async function computed(cluster: Cluster, pod: string): Promise<void> {
  await cluster.kubectl(['wait', `pod/${pod}`, '--for=jsonpath={.status.phase}=Succeeded', TIMEOUT]);
  const { stdout } = await type(cluster, `kubectl logs ${pod}`);
  ensure(stdout.includes(' 0 wrong'), `${pod} computed wrong`);
}

/** How many vGPUs pods of the Deployment have. */
async function inference(cluster: Cluster): Promise<number> {
  const { stdout } = await cluster.kubectl([
    'get',
    'vgpuclaims',
    '--output=jsonpath={range .items[*]}{.metadata.name} {.status.phase}{"\\n"}{end}',
  ]);
  return stdout.split('\n').filter((line) => /^inference-.* Bound$/.test(line)).length;
}

/** Asks a Prometheus until it knows of the three replicas' sessions. */
async function asked(cluster: Cluster): Promise<void> {
  await using prometheus = await clusterPrometheus(cluster, SYSTEM);
  const ask = (query: string) => prometheus.query(query);
  const computing = 'aquifer_claim_sessions{claim=~"inference.*"} == 1';
  await eventually(
    () => ask(computing),
    (series) => series.length === 3,
    WAIT_MS,
  );
  for (const query of [computing, 'aquifer_claim_compute_used_ratio', 'sum by (phase) (aquifer_claims)']) {
    say(`  promql> ${query}`);
    const answer = await eventually(
      () => ask(query),
      (series) => series.length > 0,
      WAIT_MS,
    );
    for (const { labels, value } of answer) {
      const shown = ['claim', 'node', 'phase'].flatMap((name) => labels[name] ?? []);
      say(`  ${shown.join(' ').padEnd(48)} ${value}`);
    }
  }
}

/** Waits until kubelet, which says what a node has every ten seconds, says so, and shows it. */
async function slicesLeft(cluster: Cluster, wanted: number): Promise<void> {
  const words = ['get', 'node', 'gpu-1', '--output=jsonpath={.status.allocatable.aquifer\\.dev/slice}'];
  await eventually(
    () => cluster.kubectl(words),
    ({ stdout }) => stdout === String(wanted),
    WAIT_MS,
  );
  await showSlices(cluster);
}

/** What there is in all, what is left for pods, and what they have of it. */
async function showSlices(cluster: Cluster): Promise<void> {
  say('  $ kubectl describe node gpu-1 | grep -E "Capacity:|Allocatable:|Allocated|aquifer.dev/slice"');
  const { stdout } = await cluster.kubectl(['describe', 'node', 'gpu-1']);
  sayOutput(
    stdout
      .split('\n')
      .filter((line) => /Capacity:|Allocatable:|Allocated|aquifer\.dev\/slice/.test(line))
      .join('\n'),
  );
}

async function demo(cluster: Cluster): Promise<void> {
  await type(cluster, 'kubectl get nodes');
  await Promise.all(ARCHIVES.map((archive) => cluster.load(archive)));

  show('Helm installs Aquifer; the label says which nodes serve their GPUs.');
  await type(cluster, 'kubectl label node gpu-1 aquifer.dev/gpu=true');
  await type(
    cluster,
    `helm install aquifer deploy/helm/aquifer --namespace=${SYSTEM} --create-namespace --set=gpuNodes.softwareGpus=1x8Gi,node.exposeMetrics=true --hide-notes --wait ${TIMEOUT}`,
  );
  await type(cluster, `kubectl get pods --namespace=${SYSTEM} --output=wide`);

  show('A pool and a claim are applied: the claim gets a vGPU, a part of the GPU.');
  await type(cluster, 'kubectl apply -f examples/pool.yaml -f examples/claim.yaml');
  await type(cluster, `kubectl wait --for=condition=Bound vgpuclaim/trainer ${TIMEOUT}`);

  show(
    'Two ordinary pods compute at once: one on cpu-1, which has no GPU, with the claim; one on gpu-1 with a claim of its own.',
  );
  await type(cluster, `kubectl apply -f ${EXAMPLES}/pod.yaml -f ${EXAMPLES}/pod-beside-gpu.yaml`);
  await computes(cluster, 'trainer', 'cpu-1');
  await computes(cluster, 'beside-gpu', 'gpu-1');
  await type(cluster, 'kubectl get vgpuclaims,gpupools,gpunodes -A');
  for (const pod of ['trainer', 'beside-gpu']) await computed(cluster, pod);

  show('What became of the claim, in words.');
  await type(cluster, 'kubectl describe vgpuclaim trainer');

  show('Each of three replicas of a Deployment has a vGPU of its own, by two annotations.');
  await type(cluster, `kubectl apply -f ${EXAMPLES}/deployment.yaml`);
  await type(cluster, `kubectl rollout status deployment/inference ${TIMEOUT}`);
  await type(cluster, 'kubectl get pods,vgpuclaims --output=wide');
  ensure((await inference(cluster)) === 3, 'the three replicas have not three vGPUs');

  show('Prometheus reads the metrics of the chart’s pods, and says what the claims have and use.');
  await asked(cluster);

  show(
    'A claim takes its share out of the slices that its node has left for pods; a pod asks for 25 of these by a limit.',
  );
  await type(cluster, 'kubectl delete deployment inference');
  await slicesLeft(cluster, 70);
  await type(cluster, `kubectl apply -f ${EXAMPLES}/slices.yaml`);
  await computes(cluster, 'quarter', 'gpu-1');
  await showSlices(cluster);
  await computed(cluster, 'quarter');

  show('Deleting the claim gives everything back.');
  await type(cluster, 'kubectl delete vgpuclaim trainer');
  await slicesLeft(cluster, 100);
  await type(cluster, 'kubectl get vgpuclaims,gpupools');
}

process.chdir(new URL('..', import.meta.url).pathname);
const startedAt = performance.now();
show('A Kubernetes of two nodes starts on this machine.');
const starting = Cluster.forTest();
let ending: Promise<void> | undefined;
const end = (): Promise<void> =>
  (ending ??= starting.then(
    (cluster) => cluster.down(),
    () => undefined, // It has taken itself down.
  ));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => void end().finally(() => process.exit(128 + constants.signals[signal])));
}
const complain = (error: unknown): void => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
};
try {
  await demo(await starting);
  show('The cluster is taken down, and nothing is left running.');
  await end();
  say(`  done in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
} catch (error) {
  complain(error);
  await end().catch((later: unknown) => later === error || complain(later));
}
