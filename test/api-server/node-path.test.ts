import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Kinds } from '../../src/api/kinds.ts';
import { kindResources } from '../../src/kube/resource.ts';
import { kubeStore } from '../../src/kube/store.ts';
import type { Store } from '../../src/runtime/store.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { createServiceAccount, grantAgents } from '../support/agent-token.ts';
import { startClusterNode, type ClusterNode, type RunningPod } from '../support/cluster-node.ts';
import { connectorKey, startConnector } from '../support/connector-process.ts';
import { claimDraft, uniqueName } from '../support/conformance/fixture.ts';
import { eventually } from '../support/eventually.ts';
import { compileExample, KERNELS } from '../support/example-programs.ts';
import { startKube, type KubeFixture } from '../support/kube-fixture.ts';
import { kubectlAquifer } from '../support/kubectl-aquifer.ts';
import { startOperatorProcess } from '../support/operator-process.ts';
import { PREFIX, runProgram } from '../support/serve.ts';
import { payloadOf, storedExpiry } from '../support/ticket-text.ts';

const NAMESPACE = 'team-a';
const LONG_MS = 60_000;

let kube: KubeFixture;
let store: Store<Kinds>;
let folder: string;
let matmul: string;
const nodes = new Map<string, ClusterNode>();
const stack = new AsyncDisposableStack();

jest.setTimeout(180_000);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'aq-node-path-'));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  matmul = compileExample('matmul', folder);
  kube = stack.use(await startKube([NAMESPACE, 'aquifer-system']));
  const { connection } = kube;
  store = kubeStore({ connection, clock: systemClock, manager: 'test', resources: kindResources });
  await createServiceAccount(connection, NAMESPACE, 'default');
  await createServiceAccount(connection, 'aquifer-system', 'aquifer-node');
  await grantAgents(connection);
  await store.create('GPUPool', { metadata: { name: 'default' }, spec: {} });
  const replica = stack.use(await startOperatorProcess(kube.api.kubeconfig));
  const operator = await replica.nodeApi();
  const path = '/api/v1/namespaces/default/configmaps/aquifer-ca';
  const { data } = (await connection.call({ method: 'GET', path })) as { data: Record<string, string> };
  const operatorCa = data['ca.crt'] ?? '';
  for (const [name, gpus] of [
    ['gpu-1', { softwareGpus: '1x8Gi' }],
    ['cpu-1', {}],
  ] as const) {
    await connection.call({ method: 'POST', path: '/api/v1/nodes', body: { metadata: { name } } });
    nodes.set(name, stack.use(await startClusterNode({ name, kube, operator, operatorCa, ...gpus })));
  }
}, 240_000);

afterAll(() => stack.disposeAsync());

function nodeOf(name: string): ClusterNode {
  const node = nodes.get(name);
  if (node === undefined) throw new Error(`no node ${name}`);
  return node;
}

async function boundClaim(): Promise<string> {
  const { metadata } = await store.create('VGPUClaim', claimDraft(NAMESPACE));
  const phase = async () => (await store.get('VGPUClaim', metadata))?.status?.phase;
  await eventually(phase, (is) => is === 'Bound', LONG_MS);
  return metadata.name;
}

/** A pod that was scheduled to the node. */
async function podOn(node: string, claim: string): Promise<RunningPod> {
  const metadata = { name: uniqueName('pod'), annotations: { 'aquifer.dev/claim': claim } };
  const body = { metadata, spec: { nodeName: node, containers: [{ name: 'main', image: 'x' }] } };
  const path = `/api/v1/namespaces/${NAMESPACE}/pods`;
  const pod = (await kube.connection.call({ method: 'POST', path, body })) as { metadata: RunningPod };
  const { name, uid } = pod.metadata;
  return { namespace: NAMESPACE, name, uid };
}

const succeeds = {
  code: 0,
  stdout: expect.stringContaining(' 0 wrong') as unknown,
  stderr: expect.anything() as unknown,
};

test('a pod computes on the GPU of another node, and one on the node of the GPU', async () => {
  for (const name of ['cpu-1', 'gpu-1']) {
    const node = nodeOf(name);
    const pod = await podOn(name, await boundClaim());
    await node.startContainer('slot-7', pod);
    expect(await node.run('slot-7', pod, [matmul, KERNELS, '64'])).toEqual(succeeds);
  }
});

test('a pod at the slot of another is refused, and so is one of the same name that is gone', async () => {
  const node = nodeOf('cpu-1');
  const claim = await boundClaim();
  const [pod, other] = [await podOn('cpu-1', claim), await podOn('cpu-1', claim)];
  await node.startContainer('slot-1', pod);
  for (const uid of [other.uid, pod.uid.replaceAll(/[0-9]/g, '0')]) {
    const { code, stderr } = await node.run('slot-1', { ...pod, uid }, [matmul, KERNELS, '64']);
    expect(code).not.toBe(0);
    expect(stderr).toContain('there is no pod');
  }
  expect(await node.run('slot-1', pod, [matmul, KERNELS, '64'])).toEqual(succeeds);
});

test('agents and connectors of both nodes are replaced while a program computes, and it goes on', async () => {
  const node = nodeOf('cpu-1');
  const pod = await podOn('cpu-1', await boundClaim());
  await node.startContainer('slot-2', pod);
  const computes = node.run('slot-2', pod, [matmul, KERNELS, '64', '8']);
  await eventually(
    () => node.computing(),
    (count) => count === 1,
  );
  const path = '/apis/coordination.k8s.io/v1/namespaces/default/leases/gpu-1';
  const heartbeat = async (): Promise<string> => {
    const { spec } = (await kube.connection.call({ method: 'GET', path })) as { spec: { renewTime: string } };
    return spec.renewTime;
  };
  const before = await heartbeat();
  for (const each of [node, nodeOf('gpu-1')]) {
    await each.restartAgent();
    await each.stopConnector();
    await each.startConnector();
  }
  await eventually(heartbeat, (now) => now !== before);
  expect(await node.computing()).toBe(1);
  expect(await computes).toEqual(succeeds);
  expect(await node.run('slot-2', pod, [matmul, KERNELS, '64'])).toEqual(succeeds);
});

test('a program that starts while the connector is replaced waits for the next one', async () => {
  const node = nodeOf('cpu-1');
  const pod = await podOn('cpu-1', await boundClaim());
  await node.startContainer('slot-3', pod);
  await node.stopConnector();
  const waits = node.run('slot-3', pod, [matmul, KERNELS, '64']);
  await node.startConnector();
  expect(await waits).toEqual(succeeds);
});

test('a container whose ticket is of a leader before gets another one, and its next program computes', async () => {
  const [here, there] = [nodeOf('cpu-1'), nodeOf('gpu-1')];
  const [pod, other] = [await podOn('cpu-1', await boundClaim()), await podOn('gpu-1', await boundClaim())];
  await here.startContainer('slot-4', pod);
  expect(await here.run('slot-4', pod, [matmul, KERNELS, '64'])).toEqual(succeeds);

  const path = '/apis/coordination.k8s.io/v1/namespaces/default/leases/aquifer-operator';
  const epoch = async () =>
    ((await kube.connection.call({ method: 'GET', path })) as Lease).metadata.annotations['aquifer.dev/epoch'];
  const before = await epoch();
  const contentType = 'application/merge-patch+json';
  await kube.connection.call({ method: 'PATCH', path, body: { spec: { holderIdentity: null } }, contentType });
  await eventually(epoch, (now) => now !== before, LONG_MS);

  // From its ticket the gateway learns that there is a later leader.
  await there.startContainer('slot-4', other);
  expect(await there.run('slot-4', other, [matmul, KERNELS, '64'])).toEqual(succeeds);
  expect(await here.run('slot-4', pod, [matmul, KERNELS, '64'])).toEqual(succeeds);
});

test('a program outside the cluster computes with a ticket from kubectl aquifer, which is renewed', async () => {
  const [socket, stateDir] = [join(folder, 'outside.sock'), join(folder, 'outside')];
  const key = await connectorKey(stateDir);
  const wish = [await boundClaim(), '--for', key, '--namespace', NAMESPACE, '--expires', '10s'];
  const { stdout, stderr } = await kubectlAquifer(kube.api.kubeconfig, 'ticket', ...wish);
  expect(stderr).toBe('');
  const { ticket } = JSON.parse(stdout) as { readonly ticket: string };
  const file = join(folder, 'ticket.json');
  writeFileSync(file, stdout, { mode: 0o600 });
  const connector = await startConnector(file, socket, stateDir);
  const env = { AQUIFER_SOCKET: socket, LD_LIBRARY_PATH: join(PREFIX, 'lib/aquifer/client') };
  const compute = () => runProgram(matmul, [KERNELS, '64'], { env }).ended;
  expect(await compute()).toEqual(succeeds);
  const { exp } = payloadOf(ticket);
  await eventually(
    () => storedExpiry(stateDir),
    (now) => now >= exp + 10,
    LONG_MS,
  );
  expect(await compute()).toEqual(succeeds);
  await connector.stop('SIGTERM');

  const stranger = join(folder, 'stranger');
  await expect(startConnector(file, join(folder, 'stolen.sock'), stranger)).rejects.toThrow('TicketStolen');
});

interface Lease {
  readonly metadata: { readonly annotations: Readonly<Record<string, string>> };
}
