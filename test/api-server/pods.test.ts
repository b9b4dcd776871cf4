import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { Kinds } from '../../src/api/kinds.ts';
import type { Pod, PodKinds } from '../../src/api/pod.ts';
import { kindResources, podResources } from '../../src/kube/resource.ts';
import { kubeStore } from '../../src/kube/store.ts';
import type { Store } from '../../src/runtime/store.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { createServiceAccount } from '../support/agent-token.ts';
import { gpu } from '../support/builders.ts';
import { claimDraft, uniqueName } from '../support/conformance/fixture.ts';
import { eventually } from '../support/eventually.ts';
import { startKube, type KubeFixture } from '../support/kube-fixture.ts';
import { startOperatorProcess, type OperatorProcess } from '../support/operator-process.ts';

const POLICY = resolve(import.meta.dirname, '../../deploy/admission/pods.yaml');
const NAMESPACE = 'team-a';
const OTHER = 'team-b';
const GATE = { name: 'aquifer.dev/claim' };
const SLOT = { 'aquifer.dev/slot': '1' };
const LONG_MS = 60_000;

let kube: KubeFixture;
let store: Store<Kinds>;
let pods: Store<PodKinds>;
let operator: OperatorProcess;

jest.setTimeout(180_000);

beforeAll(async () => {
  kube = await startKube([NAMESPACE, OTHER]);
  const { connection } = kube;
  const common = { connection, clock: systemClock, manager: 'test' };
  store = kubeStore({ ...common, resources: kindResources });
  pods = kubeStore({ ...common, resources: podResources });
  for (const namespace of [NAMESPACE, OTHER]) await createServiceAccount(connection, namespace, 'default');
  await applyPolicy();
  await store.create('GPUPool', { metadata: { name: 'default' }, spec: {} });
  await store.create('GPUNode', { metadata: { name: 'gpu-1' } });
  const agent = { version: '1', endpoint: 'gpu-1:9960' };
  const status = { agent, gpus: [gpu('GPU-a', 0, { memory: '8Gi' })], slicesOffered: 100 };
  await store.patch('GPUNode', { name: 'gpu-1' }, { status }, { subresource: 'status' });
  operator = await startOperatorProcess(kube.api.kubeconfig, [
    '--agent-grace-period',
    '1h',
    '--release-timeout',
    '500ms',
  ]);
}, 180_000);

afterAll(async () => {
  await operator[Symbol.asyncDispose]();
  await kube[Symbol.asyncDispose]();
});

/** Creates the policy, and waits until the API server has taken it up: a pod that is only tried gets the gate. */
async function applyPolicy(): Promise<void> {
  const group = '/apis/admissionregistration.k8s.io/v1';
  for (const document of parseAllDocuments(readFileSync(POLICY, 'utf8'))) {
    const body = document.toJS() as { kind: string };
    const plural = body.kind.endsWith('Binding') ? 'mutatingadmissionpolicybindings' : 'mutatingadmissionpolicies';
    await kube.connection.call({ method: 'POST', path: `${group}/${plural}`, body });
  }
  await eventually(
    () => createPod({ annotations: { 'aquifer.dev/claim': 'x' } }, '?dryRun=All'),
    ({ spec }) => (spec.schedulingGates ?? []).length > 0,
  );
}

interface PodWish {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: object;
}

const image = 'aquifer.test/none:1';

async function createPod({ annotations = {}, spec = {} }: PodWish, query = ''): Promise<Pod> {
  const metadata = { name: uniqueName('pod'), annotations };
  const body = { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [{ name: 'main', image }], ...spec } };
  const path = `/api/v1/namespaces/${NAMESPACE}/pods${query}`;
  return (await kube.connection.call({ method: 'POST', path, body })) as Pod;
}

const read = async ({ metadata: { namespace, name } }: Pod): Promise<Pod | undefined> =>
  pods.get('Pod', { namespace, name });

const untilUngated = (pod: Pod): Promise<Pod | undefined> =>
  eventually(
    () => read(pod),
    (now) => now?.spec.schedulingGates === undefined,
    LONG_MS,
  );

const claimsOf = async (pod: Pod) =>
  (await store.list('VGPUClaim')).items.filter(({ metadata }) =>
    metadata.ownerReferences?.some(({ uid }) => uid === pod.metadata.uid),
  );

/** Its containers have ended, as kubelet would say. */
async function finish({ metadata: { name } }: Pod): Promise<void> {
  const path = `/api/v1/namespaces/${NAMESPACE}/pods/${name}/status`;
  const contentType = 'application/merge-patch+json';
  await kube.connection.call({ method: 'PATCH', path, body: { status: { phase: 'Succeeded' } }, contentType });
}

/** What the author of a pod is told, oldest first. */
const eventsOf = async ({ metadata: { namespace, name, uid } }: Pod): Promise<readonly string[]> =>
  (await pods.listEvents({ kind: 'Pod', namespace, name, uid })).map(({ reason, message }) => `${reason}: ${message}`);

const untilTold = (pod: Pod, words: string): Promise<readonly string[]> =>
  eventually(
    () => eventsOf(pod),
    (events) => events.some((event) => event.includes(words)),
    LONG_MS,
  );

describe('admission', () => {
  test('gives a pod that asks the gate, the label and a slot for each container and sidecar, and keeps what it has', async () => {
    const { metadata, spec } = await createPod({
      annotations: { 'aquifer.dev/claim': 'nowhere' },
      spec: {
        schedulingGates: [{ name: 'example.com/other' }],
        initContainers: [
          { name: 'plain', image },
          { name: 'side', image, restartPolicy: 'Always', resources: { requests: { cpu: '10m' } } },
        ],
        containers: [
          { name: 'a', image, resources: { limits: { memory: '64Mi' }, requests: { cpu: '10m' } } },
          { name: 'b', image },
        ],
      },
    });
    expect(metadata.labels).toEqual({ 'aquifer.dev/vgpu': 'true' });
    expect(spec.schedulingGates).toEqual([{ name: 'example.com/other' }, GATE]);
    expect(spec.containers.map(({ resources }) => resources?.limits)).toEqual([{ memory: '64Mi', ...SLOT }, SLOT]);
    expect(spec.containers[0]?.resources).toMatchObject({ requests: { cpu: '10m', memory: '64Mi', ...SLOT } });
    expect(spec.initContainers?.map(({ resources }) => resources?.limits)).toEqual([undefined, SLOT]);
  });

  test('gives a slot to the containers that are listed, and to no other', async () => {
    const { spec } = await createPod({
      annotations: { 'aquifer.dev/claim': 'nowhere', 'aquifer.dev/containers': 'b' },
      spec: { containers: ['a', 'b'].map((name) => ({ name, image })) },
    });
    expect(spec.containers.map(({ resources }) => resources?.limits)).toEqual([undefined, SLOT]);
  });

  test('gives a slot to the containers that have a limit of slices, and keeps the limit', async () => {
    const limits = { 'aquifer.dev/slice': '25' };
    const { metadata, spec } = await createPod({
      spec: {
        initContainers: [{ name: 'side', image, restartPolicy: 'Always', resources: { limits } }],
        containers: [
          { name: 'a', image, resources: { limits } },
          { name: 'b', image },
        ],
      },
    });
    expect(metadata.labels).toEqual({ 'aquifer.dev/vgpu': 'true' });
    expect(spec.schedulingGates).toEqual([GATE]);
    const both = { ...limits, ...SLOT };
    expect(spec.containers.map(({ resources }) => resources?.limits)).toEqual([both, undefined]);
    expect(spec.initContainers?.map(({ resources }) => resources?.limits)).toEqual([both]);
  });

  test('takes a limit of no slices for none', async () => {
    const limits = { 'aquifer.dev/slice': '0' };
    const { spec } = await createPod({ spec: { containers: [{ name: 'main', image, resources: { limits } }] } });
    expect(spec.schedulingGates).toBeUndefined();
    expect(spec.containers[0]?.resources?.limits).toEqual(limits);
  });

  test('leaves other pods alone', async () => {
    const { metadata, spec } = await createPod({ annotations: { 'example.com/claim': 'x' } });
    expect(metadata.labels).toBeUndefined();
    expect(spec.schedulingGates).toBeUndefined();
    expect(spec.containers[0]?.resources).toEqual({});
  });
});

describe('the operator', () => {
  test('lets a pod go when the claim that it names is bound, and prefers the node of the GPU', async () => {
    const draft = claimDraft(NAMESPACE);
    const spec = { affinity: { podAntiAffinity: {} } };
    const pod = await createPod({ annotations: { 'aquifer.dev/claim': draft.metadata.name }, spec });
    await untilTold(pod, `ClaimNotFound: there is no claim ${draft.metadata.name} in namespace ${NAMESPACE}`);
    expect((await read(pod))?.spec.schedulingGates).toEqual([GATE]);

    await store.create('VGPUClaim', draft);
    const free = await untilUngated(pod);
    const preference = { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['gpu-1'] }] };
    expect(free?.spec.affinity).toEqual({
      podAntiAffinity: {},
      nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference }] },
    });
    await untilTold(pod, `ClaimBound: claim ${draft.metadata.name} has its vGPUs on gpu-1`);
  });

  test('keeps a pod to the node of the GPU when its claim has access Local', async () => {
    const draft = claimDraft(NAMESPACE, { spec: { access: 'Local' } });
    const zone = { key: 'zone', operator: 'In', values: ['a'] };
    const here = { key: 'metadata.name', operator: 'In', values: ['gpu-1'] };
    const required = (...nodeSelectorTerms: object[]) => ({
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
    });
    const annotations = { 'aquifer.dev/claim': draft.metadata.name };
    const [free, choosy] = [
      await createPod({ annotations }),
      await createPod({ annotations, spec: { affinity: required({ matchExpressions: [zone] }) } }),
    ];
    await store.create('VGPUClaim', draft);
    expect((await untilUngated(free))?.spec.affinity).toEqual(required({ matchFields: [here] }));
    const narrowed = required({ matchExpressions: [zone], matchFields: [here] });
    expect((await untilUngated(choosy))?.spec.affinity).toEqual(narrowed);
    await untilTold(free, 'may be scheduled there, and nowhere else: the claim has access Local');
  });

  test('makes a claim for a pod that says how much, and gives it back when the pod is over', async () => {
    const pod = await createPod({ annotations: { 'aquifer.dev/memory': '1Gi', 'aquifer.dev/compute': '10' } });
    await untilUngated(pod);
    const [made] = await claimsOf(pod);
    expect(made).toMatchObject({
      metadata: { namespace: NAMESPACE },
      spec: { poolName: 'default', resources: { memory: '1Gi', compute: 10 } },
      status: { phase: 'Bound' },
    });
    await finish(pod);
    await eventually(
      () => claimsOf(pod),
      ({ length }) => length === 0,
      LONG_MS,
    );
  });

  test('makes the claim of a pod with slices as a part of a GPU, and keeps the pod to its node', async () => {
    const slices = (count: string) => ({ resources: { limits: { 'aquifer.dev/slice': count } } });
    const zone = { matchExpressions: [{ key: 'zone', operator: 'DoesNotExist' }] };
    const affinity = {
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [zone] } },
    };
    const pod = await createPod({ spec: { affinity, containers: [{ name: 'main', image, ...slices('25') }] } });
    const free = await untilUngated(pod);
    const matchFields = [{ key: 'metadata.name', operator: 'In', values: ['gpu-1'] }];
    expect(free?.spec.affinity).toEqual({
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ ...zone, matchFields }] },
      },
    });
    const [made] = await claimsOf(pod);
    expect(made).toMatchObject({
      spec: { resources: { memory: '2Gi', compute: 25 }, slices: { count: 25, nodeName: 'gpu-1' } },
      status: { phase: 'Bound', allocations: [{ node: 'gpu-1', gpu: 'GPU-a' }] },
    });

    const elsewhere = await createPod({
      spec: { nodeSelector: { zone: 'b' }, containers: [{ name: 'main', image, ...slices('1') }] },
    });
    await untilTold(elsewhere, "on gpu-1, where the pod's nodeSelector and node affinity do not let it go");
    const many = await createPod({ spec: { containers: [{ name: 'main', image, ...slices('101') }] } });
    await untilTold(many, 'InvalidRequest: aquifer.dev/slice: 101 in all: needs 101 slices of one GPU, which has 100');
    await finish(pod);
    await eventually(
      () => claimsOf(pod),
      ({ length }) => length === 0,
      LONG_MS,
    );
  });

  test('keeps a pod whose claim can never fit, says why, and lets it go when that has changed', async () => {
    const pod = await createPod({ annotations: { 'aquifer.dev/memory': '64Gi', 'aquifer.dev/compute': '10' } });
    await untilTold(pod, 'needs 64Gi');
    expect((await read(pod))?.spec.schedulingGates).toEqual([GATE]);
    const gpus = [gpu('GPU-a', 0, { memory: '8Gi' }), gpu('GPU-b', 1, { memory: '96Gi' })];
    await store.patch('GPUNode', { name: 'gpu-1' }, { status: { gpus } }, { subresource: 'status' });
    await untilUngated(pod);
  });

  test('tells a pod that uses the claim of another namespace, and one that asks for nonsense', async () => {
    const { metadata } = await store.create('VGPUClaim', claimDraft(OTHER));
    const amounts = { 'aquifer.dev/memory': '1Gi', 'aquifer.dev/compute': '10' };
    const [stranger, nonsense, slip, nowhere] = [
      await createPod({ annotations: { 'aquifer.dev/claim': metadata.name } }),
      await createPod({ annotations: { ...amounts, 'aquifer.dev/memory': '8GB' } }),
      await createPod({ annotations: { 'aquifer.dev/calim': 'trainer' } }),
      await createPod({ annotations: { ...amounts, 'aquifer.dev/pool': 'nowhere' } }),
    ];
    await untilTold(stranger, 'another namespace has one, but pods use claims of their own namespace only');
    await untilTold(nonsense, 'InvalidRequest: aquifer.dev/memory must be a quantity of bytes');
    await untilTold(slip, 'InvalidRequest: unknown annotation aquifer.dev/calim; did you mean aquifer.dev/claim?');
    await untilTold(nowhere, 'pool nowhere does not exist: create it, or name another: default');
    for (const pod of [stranger, nonsense, slip, nowhere])
      expect((await read(pod))?.spec.schedulingGates).toEqual([GATE]);
  });

  test('writes nothing while nothing changes', async () => {
    const pod = await createPod({ annotations: { 'aquifer.dev/claim': 'nowhere' } });
    await untilTold(pod, 'ClaimNotFound');
    const count = async (): Promise<number> => {
      const { text } = await operator.probe('/metrics');
      const lines = text
        .split('\n')
        .filter((line) => /^aquifer_api_requests_total\{method="(POST|PUT|DELETE)"/.test(line));
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    };
    const before = await count();
    await new Promise((done) => setTimeout(done, 5000));
    expect(await count()).toBe(before);
    expect(await eventsOf(pod)).toHaveLength(1);
  });
});
