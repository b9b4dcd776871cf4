import type { Kinds, VGPUClaim } from '../../src/api/kinds.ts';
import type { Pod, PodKinds } from '../../src/api/pod.ts';
import { bytesOf } from '../../src/api/quantity.ts';
import { kindResources, podResources } from '../../src/kube/resource.ts';
import { kubeStore } from '../../src/kube/store.ts';
import type { Store } from '../../src/runtime/store.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { createServiceAccount } from './agent-token.ts';
import { gpu } from './builders.ts';
import { eventually } from './eventually.ts';
import { startFakeAgent } from './fake-agent.ts';
import { startKube, type KubeFixture } from './kube-fixture.ts';
import { ReplicaPair } from './replica-pair.ts';

const NAMESPACE = 'team-a';
const POD = 'asks';
const LONG_MS = 120_000;

export const GPU_BYTES = bytesOf('8Gi');

/** An API server with one GPU of 8Gi, and two replicas of the operator. */
export class BindingWorld implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  readonly #pods: Store<PodKinds>;
  readonly store: Store<Kinds>;
  readonly replicas: ReplicaPair;

  private constructor(stack: AsyncDisposableStack, kube: KubeFixture, replicas: ReplicaPair) {
    const common = { connection: kube.connection, clock: systemClock, manager: 'test' };
    this.#stack = stack;
    this.#pods = kubeStore({ ...common, resources: podResources });
    this.store = kubeStore({ ...common, resources: kindResources });
    this.replicas = replicas;
  }

  static async create(): Promise<BindingWorld> {
    await using stack = new AsyncDisposableStack();
    const kube = stack.use(await startKube([NAMESPACE]));
    await createServiceAccount(kube.connection, NAMESPACE, 'default');
    const world = new BindingWorld(stack, kube, stack.use(await ReplicaPair.start(kube)));
    await world.store.create('GPUPool', { metadata: { name: 'default' }, spec: {} });
    const gpus = [gpu('GPU-a', 0, { memory: '8Gi' })];
    stack.use(await startFakeAgent({ connection: kube.connection, node: 'gpu-1', gpus, namespace: 'default' }));
    return new BindingWorld(stack.move(), kube, world.replicas);
  }

  async claims(): Promise<readonly VGPUClaim[]> {
    return (await this.store.list('VGPUClaim')).items;
  }

  pod(): Promise<Pod | undefined> {
    return this.#pods.get('Pod', { namespace: NAMESPACE, name: POD });
  }

  /** Three ask for 4Gi each, one of them a pod with a claim of its own: two fit. */
  async ask(): Promise<void> {
    const annotations = { 'aquifer.dev/memory': '4Gi', 'aquifer.dev/compute': '10' };
    const metadata = { name: POD, namespace: NAMESPACE, labels: { 'aquifer.dev/vgpu': 'true' }, annotations };
    const spec = { schedulingGates: [{ name: 'aquifer.dev/claim' }], containers: [{ name: 'main', image: 'x' }] };
    await this.#pods.create('Pod', { metadata, spec });
    for (const name of ['a', 'b']) {
      const wanted = { poolName: 'default', resources: { memory: '4Gi', compute: 10 } };
      await this.store.create('VGPUClaim', { metadata: { name, namespace: NAMESPACE }, spec: wanted });
    }
  }

  /** Waits until `count` claims are bound and the others wait, the pod is let go if its claim is bound, and the sums say so. */
  async settled(count: number, waiting: number): Promise<readonly VGPUClaim[]> {
    const all = await eventually(
      () => this.claims(),
      (now) => now.filter(isBound).length === count && now.filter(isPending).length === waiting,
      LONG_MS,
    );
    const mine = all.find(({ metadata }) => metadata.ownerReferences !== undefined);
    if (mine !== undefined) {
      await eventually(
        () => this.pod(),
        (pod) => (pod?.spec.schedulingGates === undefined) === isBound(mine),
        LONG_MS,
      );
    }
    const promised = async () => (await this.store.get('GPUPool', { name: 'default' }))?.status?.promised?.memory;
    await eventually(promised, (memory) => bytesOf(memory ?? '0') === memoryOf(all), LONG_MS);
    return all;
  }

  /** What is given back goes to who waits, and in the end nothing is promised. */
  async empty(): Promise<void> {
    const named = (await this.claims()).find((claim) => isBound(claim) && claim.metadata.ownerReferences === undefined);
    await this.store.delete('VGPUClaim', named?.metadata ?? { namespace: NAMESPACE, name: 'none' });
    await this.settled(2, 0);
    await this.#pods.patch('Pod', { namespace: NAMESPACE, name: POD }, { status: { phase: 'Succeeded' } }, STATUS);
    for (const { metadata } of await this.claims()) {
      if (metadata.ownerReferences === undefined) await this.store.delete('VGPUClaim', metadata);
    }
    await this.settled(0, 0);
    await this.#pods.delete('Pod', { namespace: NAMESPACE, name: POD });
    await eventually(
      () => this.pod(),
      (pod) => pod === undefined,
      LONG_MS,
    );
  }

  /** Follows each write to a claim, and gives the sums of what was promised after each. */
  async *promises(signal: AbortSignal): AsyncGenerator<number> {
    const { items, resourceVersion } = await this.store.list('VGPUClaim');
    const known = new Map(items.map((claim) => [claim.metadata.uid, claim]));
    for await (const event of this.store.watch('VGPUClaim', { resourceVersion, signal })) {
      if (event.type === 'BOOKMARK') continue;
      if (event.type === 'DELETED') known.delete(event.object.metadata.uid);
      else known.set(event.object.metadata.uid, event.object);
      yield memoryOf([...known.values()]);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#stack.disposeAsync());
  }
}

const STATUS = { subresource: 'status' } as const;

const isBound = ({ status }: VGPUClaim): boolean => status?.phase === 'Bound';
const isPending = ({ status }: VGPUClaim): boolean => status?.phase === 'Pending';

const memoryOf = (claims: readonly VGPUClaim[]): number =>
  claims.flatMap(({ status }) => status?.allocations ?? []).reduce((sum, { memory }) => sum + bytesOf(memory), 0);
