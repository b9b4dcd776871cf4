import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { TicketRequest, TicketRequestKinds } from '../../src/api/cluster-kinds.ts';
import type { Kinds } from '../../src/api/kinds.ts';
import { ticketFileSchema } from '../../src/api/ticket-file.ts';
import { clusterResources } from '../../src/kube/resource.ts';
import { kubeStore } from '../../src/kube/store.ts';
import { isStoreError, type Key, type Store } from '../../src/runtime/store.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { gpu } from '../support/builders.ts';
import { claimDraft, uniqueName } from '../support/conformance/fixture.ts';
import { eventually } from '../support/eventually.ts';
import { startFakeAgent } from '../support/fake-agent.ts';
import { startKube, type KubeFixture } from '../support/kube-fixture.ts';
import { kubectlAquifer } from '../support/kubectl-aquifer.ts';
import { newHolderKey } from '../support/node-api-fixture.ts';
import { startOperatorProcess } from '../support/operator-process.ts';
import { ReplicaPair, type Fate } from '../support/replica-pair.ts';
import { payloadOf } from '../support/ticket-text.ts';

const NAMESPACE = 'team-a';
const LONG_MS = 120_000;

let kube: KubeFixture;
let store: Store<Kinds & TicketRequestKinds>;
let agent: Disposable;

jest.setTimeout(300_000);

beforeAll(async () => {
  kube = await startKube([NAMESPACE]);
  store = kubeStore({ connection: kube.connection, clock: systemClock, manager: 'test', resources: clusterResources });
  await store.create('GPUPool', { metadata: { name: 'default' }, spec: {} });
  const gpus = [gpu('GPU-a', 0, { memory: '8Gi' })];
  agent = await startFakeAgent({ connection: kube.connection, node: 'gpu-1', gpus, namespace: 'default' });
}, 180_000);

afterAll(async () => {
  agent[Symbol.dispose]();
  await kube[Symbol.asyncDispose]();
});

const createClaim = async (spec: object = {}): Promise<Key> =>
  (await store.create('VGPUClaim', claimDraft(NAMESPACE, { spec }))).metadata;

const untilPhase = (claim: Key, phase: string): Promise<unknown> =>
  eventually(
    () => store.get('VGPUClaim', claim),
    (found) => found?.status?.phase === phase,
    LONG_MS,
  );

const boundClaim = async (spec: object = {}): Promise<Key> => {
  const claim = await createClaim(spec);
  await untilPhase(claim, 'Bound');
  return claim;
};

const ask = async (claimName: string): Promise<Key> => {
  const metadata = { name: uniqueName('r'), namespace: NAMESPACE };
  return (await store.create('TicketRequest', { metadata, spec: { claimName, holderKey: newHolderKey() } })).metadata;
};

const answerOf = (request: Key): Promise<TicketRequest | undefined> =>
  eventually(
    () => store.get('TicketRequest', request),
    (found) => found?.status !== undefined,
    LONG_MS,
  );

const requests = async () => (await store.list('TicketRequest')).items;
const ticket = (...words: readonly string[]) => kubectlAquifer(kube.api.kubeconfig, 'ticket', ...words);
const here = ['--namespace', NAMESPACE];

describe('kubectl aquifer ticket', () => {
  test('prints a ticket for the key, and leaves nothing behind', async () => {
    await using _ = await startOperatorProcess(kube.api.kubeconfig, ['--release-timeout', '500ms']);
    const claim = await boundClaim();
    const key = newHolderKey();
    const plain = await ticket(claim.name, '--for', key, '--expires', '90s', ...here);
    expect(plain).toMatchObject({ code: 0, stderr: '' });
    const file = ticketFileSchema.parse(JSON.parse(plain.stdout));
    expect(file.metadata).toEqual({ name: claim.name, namespace: NAMESPACE });
    expect(file.endpoints).toEqual([{ node: 'gpu-1', address: 'gpu-1:9960' }]);
    const payload = payloadOf(file.ticket);
    expect(payload).toMatchObject({ claim: { name: claim.name }, cnf: { jwk: { x: key } } });
    expect(payload.exp - payload.iat).toBe(90);
    expect(await requests()).toEqual([]);

    const words = ['--address', '192.0.2.7:9960', '--address', 'gpu.example:1'];
    const addressed = await ticket(`vgpu/${claim.name}`, `--for=${key}`, ...words, ...here);
    expect(ticketFileSchema.parse(JSON.parse(addressed.stdout)).endpoints).toEqual([
      { node: 'gpu-1', address: '192.0.2.7:9960' },
      { node: 'gpu-1', address: 'gpu.example:1' },
    ]);

    // The claim is full: the next one waits, and its ticket with it.
    await store.delete('VGPUClaim', claim);
    const full = await boundClaim({ resources: { memory: '8Gi', compute: 10 } });
    const next = await createClaim();
    await untilPhase(next, 'Pending');
    const impatient = await ticket(next.name, '--for', key, '--timeout', '2s', ...here);
    expect(impatient).toMatchObject({ code: 1, stdout: '' });
    expect(impatient.stderr).toMatch(/^error: no ticket within 2s: claim \S+ is Pending: /);
    const waiting = ticket(next.name, '--for', key, '--timeout', '0', ...here);
    await eventually(requests, ({ length }) => length === 1, LONG_MS);
    await store.delete('VGPUClaim', full);
    expect(await waiting).toMatchObject({ code: 0, stderr: '' });
    expect(await requests()).toEqual([]);

    const local = await boundClaim({ access: 'Local' });
    expect(await ticket(local.name, '--for', key, ...here)).toEqual({
      code: 1,
      stdout: '',
      stderr: `error: claim ${local.name} has access Local: only programs on gpu-1 use it (ClaimIsLocal)\n`,
    });
    const deleted = await ask('nowhere');
    const conditions = (await answerOf(deleted))?.status?.conditions;
    expect(conditions).toMatchObject([{ type: 'Issued', status: 'False', reason: 'ClaimNotFound' }]);
    await store.delete('TicketRequest', deleted);
    for (const { metadata } of (await store.list('VGPUClaim')).items) await store.delete('VGPUClaim', metadata);
    await eventually(
      () => store.list('VGPUClaim'),
      ({ items }) => items.length === 0,
      LONG_MS,
    );
  });

  test('says what is wrong', async () => {
    const claim = await createClaim();
    const key = newHolderKey();
    const said = async (...words: readonly string[]) => (await ticket(...words)).stderr;
    expect(await said('none', '--for', key, ...here)).toBe('error: there is no claim none in namespace team-a\n');
    const vgpu = { vgpu: 0, node: 'gpu-1', gpu: 'GPU-a', memory: '1Gi', compute: 10 };
    const status = { phase: 'Bound', allocations: [vgpu] };
    await store.patch('VGPUClaim', claim, { status }, { subresource: 'status' });
    expect(await said(claim.name, '--for', key, '--timeout', '1s', ...here)).toMatch(
      /^error: the operator did not answer within 1s: is it running[?] Look with "kubectl get pods /,
    );
    expect(await said(claim.name, '--for', key, '--context', 'other')).toBe('error: context "other" does not exist\n');
    expect(await requests()).toEqual([]);
    await store.delete('VGPUClaim', claim);
  });
});

test.each<Fate>(['killed after it landed', 'paused past its Lease'])(
  'a leader that is %s answers no request twice, and the next one answers the rest',
  async (fate) => {
    await using replicas = await ReplicaPair.start(kube);
    const claim = await boundClaim();
    await replicas.lieInWait(1, fate, /^PATCH .*[/]ticketrequests[/].*[/]status/);
    const asked = [await ask(claim.name), await ask(claim.name)];
    await eventually(
      () => replicas.struckAt,
      (write) => write !== undefined,
      LONG_MS,
    );
    const answers = await Promise.all(asked.map(answerOf));
    await replicas.restore(); // What was held back is sent now.
    const later = await Promise.all(asked.map((request) => store.get('TicketRequest', request)));
    expect(later.map((request) => request?.status)).toEqual(answers.map((request) => request?.status));
    for (const answer of answers) expect(payloadOf(answer?.status?.ticket ?? '').claim.name).toBe(claim.name);
    for (const request of asked) await store.delete('TicketRequest', request);
    await store.delete('VGPUClaim', claim);
    await eventually(
      () => store.get('VGPUClaim', claim),
      (left) => left === undefined,
      LONG_MS,
    );
  },
);

// The last one: it takes the kind away.
test('kubectl aquifer says where the cluster knows no such requests', async () => {
  const claim = await createClaim();
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ticketrequests.aquifer.dev';
  await kube.connection.call({ method: 'DELETE', path });
  const isKnown = (): Promise<boolean> =>
    requests().then(
      () => true,
      (error: unknown) => !isStoreError(error, 'NotFound'),
    );
  await eventually(isKnown, (known) => !known, LONG_MS);
  const unknown = 'error: the cluster does not know ticketrequests.aquifer.dev: is Aquifer installed,';
  for (const name of [claim.name, 'none']) {
    const { code, stderr } = await ticket(name, '--for', newHolderKey(), ...here);
    expect(code).toBe(1);
    expect(stderr).toContain(unknown);
  }
});
