import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kinds } from '../../src/api/kinds.ts';
import { kindResources } from '../../src/kube/resource.ts';
import { kubeStore } from '../../src/kube/store.ts';
import type { Store } from '../../src/runtime/store.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { createServiceAccount, grantAgents } from '../support/agent-token.ts';
import type { AuditedWrite } from '../support/audit-log.ts';
import { startClusterNode } from '../support/cluster-node.ts';
import { claimDraft } from '../support/conformance/fixture.ts';
import { eventually } from '../support/eventually.ts';
import { startKube, type KubeFixture } from '../support/kube-fixture.ts';
import { startOperatorProcess } from '../support/operator-process.ts';

const NAMESPACE = 'team-a';
const LONG_MS = 120_000;
const QUIET_MS = 10_000; // Sums are written 200 ms after what they are of.
const WATCHED_MS = 60_000; // Two rounds of what is looked at again after 30 s.

let kube: KubeFixture;
let store: Store<Kinds>;
const stack = new AsyncDisposableStack();

jest.setTimeout(6 * 60_000);

beforeAll(async () => {
  kube = stack.use(await startKube([NAMESPACE, 'aquifer-system'], { isAudited: true }));
  const { connection } = kube;
  store = kubeStore({ connection, clock: systemClock, manager: 'test', resources: kindResources });
  await createServiceAccount(connection, NAMESPACE, 'default');
  await createServiceAccount(connection, 'aquifer-system', 'aquifer-node');
  await grantAgents(connection);
  await store.create('GPUPool', { metadata: { name: 'default' }, spec: {} });
  const replicas = [await startOperatorProcess(kube.api.kubeconfig), await startOperatorProcess(kube.api.kubeconfig)];
  for (const replica of replicas) stack.use(replica);
  const operator = (await replicas[0]?.nodeApi()) ?? '';
  const path = '/api/v1/namespaces/default/configmaps/aquifer-ca';
  const { data } = (await connection.call({ method: 'GET', path })) as { data: Record<string, string> };
  const operatorCa = data['ca.crt'] ?? '';
  for (const [name, gpus] of [
    ['gpu-1', { softwareGpus: '1x8Gi' }],
    ['cpu-1', {}],
  ] as const) {
    await connection.call({ method: 'POST', path: '/api/v1/nodes', body: { metadata: { name } } });
    stack.use(await startClusterNode({ name, kube, operator, operatorCa, ...gpus }));
  }
}, 240_000);

afterAll(() => stack.disposeAsync());

/** The API server writes for itself, and a TokenReview is a question that is put as a write. */
const isOurs = ({ user, objectRef }: AuditedWrite): boolean =>
  user.username !== 'system:apiserver' && objectRef?.resource !== 'tokenreviews';

const ours = (): readonly string[] =>
  kube.api
    .writes()
    .filter(isOurs)
    .map(({ verb, objectRef }) => `${verb} ${objectRef?.resource} ${objectRef?.name}`);

const isBeat = (write: string): boolean => write.startsWith('patch leases ');

test('operators and agents write nothing but Leases while nothing changes', async () => {
  const bound = await store.create('VGPUClaim', claimDraft(NAMESPACE));
  const tooLarge = claimDraft(NAMESPACE, { spec: { resources: { memory: '64Gi', compute: 10 } } });
  const waiting = await store.create('VGPUClaim', tooLarge);
  const metadata = { name: 'waits', labels: { 'aquifer.dev/vgpu': 'true' } };
  const annotations = { 'aquifer.dev/claim': 'nowhere' };
  const spec = { schedulingGates: [{ name: 'aquifer.dev/claim' }], containers: [{ name: 'main', image: 'x' }] };
  const body = { metadata: { ...metadata, annotations }, spec };
  await kube.connection.call({ method: 'POST', path: `/api/v1/namespaces/${NAMESPACE}/pods`, body });
  const phase = async (name: string) => (await store.get('VGPUClaim', { namespace: NAMESPACE, name }))?.status?.phase;
  await eventually(
    async () => [await phase(bound.metadata.name), await phase(waiting.metadata.name)].join(),
    (phases) => phases === 'Bound,Pending',
    LONG_MS,
  );

  let seen = ours().filter((write) => !isBeat(write)).length;
  await eventually(
    async () => {
      await sleep(QUIET_MS);
      const before = seen;
      seen = ours().filter((write) => !isBeat(write)).length;
      return seen - before;
    },
    (fresh) => fresh === 0,
    LONG_MS,
  );
  const before = ours().length;
  await sleep(WATCHED_MS);
  const during = [...new Set(ours().slice(before))].toSorted();
  expect(during).toEqual(['patch leases aquifer-operator', 'patch leases gpu-1']);
});
