import { afterAll, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { Kinds, VGPUClaim } from '../../src/api/kinds.ts';
import { bytesOf } from '../../src/api/quantity.ts';
import { kindResources } from '../../src/kube/resource.ts';
import { kubeStore } from '../../src/kube/store.ts';
import type { Store } from '../../src/runtime/store.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { gpu } from '../support/builders.ts';
import { claimDraft } from '../support/conformance/fixture.ts';
import { eventually } from '../support/eventually.ts';
import { startFakeAgent } from '../support/fake-agent.ts';
import { startKube, type KubeFixture } from '../support/kube-fixture.ts';
import { startOperatorProcess, type OperatorProcess } from '../support/operator-process.ts';

const NAMESPACE = 'team-a';
const GPUS = ['GPU-a', 'GPU-b', 'GPU-c', 'GPU-d'];
const GPU_BYTES = 8 * 1024 ** 3;
const LONG_MS = 60_000;

/** No agent says that the sessions of a claim are over: there is none. */
const NOBODY_FOLLOWS = ['--release-timeout', '500ms'];

let kube: KubeFixture;
let store: Store<Kinds>;
let agent: Disposable;

jest.setTimeout(180_000);

beforeAll(async () => {
  kube = await startKube([NAMESPACE]);
  store = kubeStore({ connection: kube.connection, clock: systemClock, manager: 'test', resources: kindResources });
  await store.create('GPUPool', { metadata: { name: 'default' }, spec: {} });
  const gpus = GPUS.map((uuid, index) => gpu(uuid, index, { memory: '8Gi' }));
  agent = await startFakeAgent({ connection: kube.connection, node: 'gpu-1', gpus, namespace: 'default' });
}, 180_000);

afterAll(async () => {
  agent[Symbol.dispose]();
  await kube[Symbol.asyncDispose]();
});

beforeEach(async () => {
  for (const { metadata } of await claims()) {
    const left = await store.delete('VGPUClaim', metadata);
    // No operator runs that would take it off.
    if (left !== undefined) await store.patch('VGPUClaim', metadata, { metadata: { finalizers: null } });
  }
});

const claims = async (): Promise<readonly VGPUClaim[]> => (await store.list('VGPUClaim')).items;

const addClaims = (count: number): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, () => store.create('VGPUClaim', claimDraft(NAMESPACE))));

const isBound = ({ status }: VGPUClaim): boolean => status?.phase === 'Bound';

/** Waits until so many claims are bound, and returns all. */
const untilBound = (count: number): Promise<readonly VGPUClaim[]> =>
  eventually(claims, (all) => all.filter(isBound).length === count, LONG_MS);

/** No GPU has more memory promised than it has. */
function expectNothingPromisedTwice(all: readonly VGPUClaim[]): void {
  const promised = new Map<string, number>();
  for (const { gpu: uuid, memory } of all.flatMap(({ status }) => status?.allocations ?? [])) {
    promised.set(uuid, (promised.get(uuid) ?? 0) + bytesOf(memory));
  }
  for (const bytes of promised.values()) expect(bytes).toBeLessThanOrEqual(GPU_BYTES);
}

async function leaderOf(replicas: readonly OperatorProcess[]): Promise<OperatorProcess> {
  const find = async (): Promise<OperatorProcess | undefined> => {
    for (const replica of replicas) if (await replica.leads().catch(() => false)) return replica;
    return undefined;
  };
  const leader = await eventually(find, (found) => found !== undefined, LONG_MS);
  if (leader === undefined) throw new Error('nobody leads');
  return leader;
}

describe('an operator', () => {
  test('binds claims, releases them, says why one waits, and answers probes', async () => {
    await using operator = await startOperatorProcess(kube.api.kubeconfig, NOBODY_FOLLOWS);
    await addClaims(8);
    expectNothingPromisedTwice(await untilBound(8));
    const { metadata } = await store.create(
      'VGPUClaim',
      claimDraft(NAMESPACE, { spec: { resources: { memory: '64Gi', compute: 10 } } }),
    );
    const waiting = await eventually(
      () => store.get('VGPUClaim', metadata),
      (claim) => claim?.status?.phase === 'Pending',
    );
    const bound = waiting?.status?.conditions?.[0];
    expect(bound).toMatchObject({ type: 'Bound', status: 'False', reason: 'GPUTooSmall' });
    const events = await eventually(
      () => store.listEvents({ kind: 'VGPUClaim', ...metadata }),
      ({ length }) => length > 0,
    );
    expect(events).toMatchObject([{ type: 'Warning', reason: bound?.reason, message: bound?.message }]);

    expect(await operator.probe('/livez')).toEqual({ status: 200, text: 'ok\n' });
    expect(await operator.probe('/readyz')).toEqual({ status: 200, text: 'api: ok\n' });
    const { text } = await operator.probe('/metrics');
    expect(text).toContain('aquifer_claims{pool="default",phase="Bound",reason="Bound"} 8');
    expect(text).toContain(`aquifer_pool_promised_memory_bytes{pool="default"} ${8 * 1024 ** 3}`);

    for (const claim of await claims()) await store.delete('VGPUClaim', claim.metadata);
    await eventually(claims, ({ length }) => length === 0, LONG_MS);
    await operator.stop();
    expect(operator.log().at(-1)).toMatchObject({ level: 'info', message: 'stopped' });
  });

  test('that was killed in the middle of 100 binds is replaced, and nothing is promised twice or lost', async () => {
    await using a = await startOperatorProcess(kube.api.kubeconfig, NOBODY_FOLLOWS);
    await using b = await startOperatorProcess(kube.api.kubeconfig, NOBODY_FOLLOWS);
    const leader = await leaderOf([a, b]);
    // 32 of these fit: the other 68 wait. Compute allows ten on each GPU, memory eight.
    const adding = addClaims(100);
    await eventually(claims, (all) => all.some(isBound), LONG_MS);
    await leader.kill();
    await adding;
    const all = await untilBound(32);
    expectNothingPromisedTwice(all);
    const phases = await eventually(claims, (now) => now.every(({ status }) => status?.phase !== undefined), LONG_MS);
    expect(phases.filter(({ status }) => status?.phase === 'Pending')).toHaveLength(68);
  });

  test('that was paused past its Lease writes nothing when it comes back', async () => {
    await using a = await startOperatorProcess(kube.api.kubeconfig, NOBODY_FOLLOWS);
    await using b = await startOperatorProcess(kube.api.kubeconfig, NOBODY_FOLLOWS);
    const paused = await leaderOf([a, b]);
    const other = paused === a ? b : a;
    paused.signal('SIGSTOP');
    const adding = addClaims(40);
    await leaderOf([other]);
    await adding;
    await untilBound(32);
    paused.signal('SIGCONT');
    await eventually(
      () => paused.log(),
      (lines) => lines.some(({ message }) => message === 'no longer leading'),
      LONG_MS,
    );
    for (const { metadata } of (await claims()).filter(isBound).slice(0, 8)) await store.delete('VGPUClaim', metadata);
    expectNothingPromisedTwice(await untilBound(32));
    expect(await other.leads()).toBe(true);
    expect(await paused.leads()).toBe(false);
  });

  test('survives an API server that is killed, and goes on where it was', async () => {
    await using operator = await startOperatorProcess(kube.api.kubeconfig, NOBODY_FOLLOWS);
    await addClaims(4);
    await untilBound(4);
    await kube.api.kill();
    await eventually(
      () => operator.log(),
      (lines) => lines.some(({ message }) => message === 'watch failed'),
      LONG_MS,
    );
    expect((await operator.probe('/livez')).status).toBe(200);
    await kube.api.start();
    await eventually(
      () => addClaims(1).then(() => true),
      (added) => added,
      LONG_MS,
    );
    expectNothingPromisedTwice(await untilBound(5));
  });
});
