import { API_VERSION } from '../src/api/meta.ts';
import type { Kinds } from '../src/api/kinds.ts';
import { kindResources } from '../src/kube/resource.ts';
import { kubeStore } from '../src/kube/store.ts';
import { Informer } from '../src/runtime/informer.ts';
import { systemClock } from '../src/runtime/system-clock.ts';
import type { Store } from '../src/runtime/store.ts';
import { eventually } from '../test/support/eventually.ts';
import { startKube, type KubeFixture } from '../test/support/kube-fixture.ts';
import { INSTALLED_OPERATOR, startOperatorProcess, type OperatorProcess } from '../test/support/operator-process.ts';
import { QUIET } from './quiet-log.ts';

export const NAMESPACE = 'bench';
const POOL = 'bench';
const START_MS = 60_000;
const NODES = 125;
const GPUS_PER_NODE = 8;
const GPUS = NODES * GPUS_PER_NODE;

/** A real API server with 1,000 GPUs of nodes that nobody runs. */
export interface ClaimCluster extends AsyncDisposable {
  readonly kube: KubeFixture;
  readonly store: Store<Kinds>;
  /** When a claim was seen to be Bound, by `performance.now()`. */
  readonly seenBound: (name: string) => Promise<number>;
}

export async function startClaimCluster(): Promise<ClaimCluster> {
  await using stack = new AsyncDisposableStack();
  const kube = stack.use(await startKube([NAMESPACE]));
  const store = kubeStore<Kinds>({
    connection: kube.connection,
    clock: systemClock,
    manager: 'bench',
    resources: kindResources,
  });
  await store.create('GPUPool', { metadata: { name: POOL }, spec: { oversubscription: { compute: 200 } } });
  for (let n = 0; n < NODES; n++) await createNode(store, n);
  const observer = stack.use(observe(store));
  const owned = stack.move();
  return { kube, store, seenBound: observer.seenBound, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function createNode(store: Store<Kinds>, n: number): Promise<void> {
  const name = `node-${String(n).padStart(3, '0')}`;
  await store.create('GPUNode', { metadata: { name }, spec: {} });
  const gpus = Array.from({ length: GPUS_PER_NODE }, (_, index) => ({
    uuid: `GPU-${String(n * GPUS_PER_NODE + index).padStart(8, '0')}`,
    index,
    model: 'NVIDIA H100 80GB HBM3',
    memory: '80Gi',
    computeCapability: '9.0',
    healthy: true,
  }));
  const agent = { version: '0.1.0', endpoint: `${name}:9960` };
  await store.patch('GPUNode', { name }, { status: { agent, gpus } }, { subresource: 'status' });
}

interface Observer extends AsyncDisposable {
  readonly seenBound: (name: string) => Promise<number>;
}

/** Follows the claims as a user's `kubectl wait` does. */
function observe(store: Store<Kinds>): Observer {
  const informer = new Informer<Kinds, 'VGPUClaim'>({ store, kind: 'VGPUClaim', clock: systemClock, log: QUIET });
  const awaited = new Map<string, (atMs: number) => void>();
  informer.onChange(({ after }) => {
    if (after?.status?.phase !== 'Bound') return;
    awaited.get(after.metadata.name)?.(performance.now());
    awaited.delete(after.metadata.name);
  });
  const stop = new AbortController();
  const ended = informer.run(stop.signal);
  return {
    seenBound: (name) => new Promise((resolve) => awaited.set(name, resolve)),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}

/** A claim as a user writes it. */
export const claimDraft = (name: string) => ({
  apiVersion: API_VERSION,
  kind: 'VGPUClaim',
  metadata: { name, namespace: NAMESPACE },
  spec: { poolName: POOL, resources: { memory: '4Gi', compute: 10 } },
});

/** The operator as it is installed, once it leads. Nobody reports for the nodes, so they may be silent for long. */
export async function startBenchOperator({ kube, store }: ClaimCluster): Promise<OperatorProcess> {
  const times = ['--agent-grace-period', '10h', '--lease-duration', '15s'];
  const operator = await startOperatorProcess(kube.api.kubeconfig, times, INSTALLED_OPERATOR);
  const isServed = async (): Promise<boolean> => {
    const { conditions } = (await store.get('GPUPool', { name: POOL }))?.status ?? {};
    return conditions?.some(({ message }) => message.startsWith(`${GPUS} of ${GPUS} GPUs`)) === true;
  };
  await eventually(isServed, Boolean, START_MS);
  return operator;
}

/** What the API server has counted so far. */
export async function writesBesidesLeases({ kube }: ClaimCluster): Promise<number> {
  const text = String(await kube.connection.call({ method: 'GET', path: '/metrics' }));
  const counts = text.matchAll(/^apiserver_request_total[{](.*)[}] ([0-9.e+]+)$/gm);
  return counts
    .filter(([, labels = '']) => WRITE.test(labels) && !labels.includes('resource="leases"'))
    .reduce((sum, [, , count]) => sum + Number(count), 0);
}

const WRITE = /verb="(POST|PUT|PATCH|APPLY|DELETE|DELETECOLLECTION)"/;
