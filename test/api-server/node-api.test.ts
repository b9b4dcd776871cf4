import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Kinds } from '../../src/api/kinds.ts';
import type { Pod } from '../../src/api/pod.ts';
import { operatorClient, type OperatorClient } from '../../src/grpc/operator-client.ts';
import { kindResources } from '../../src/kube/resource.ts';
import { kubeStore } from '../../src/kube/store.ts';
import type { Store } from '../../src/runtime/store.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { agentToken, createServiceAccount } from '../support/agent-token.ts';
import { gpu } from '../support/builders.ts';
import { claimDraft, uniqueName } from '../support/conformance/fixture.ts';
import { eventually } from '../support/eventually.ts';
import { startKube, type KubeFixture } from '../support/kube-fixture.ts';
import { newHolderKey } from '../support/node-api-fixture.ts';
import { startOperatorProcess, type OperatorProcess } from '../support/operator-process.ts';
import { certificateRequest } from '../support/server-certificate.ts';
import { payloadOf } from '../support/ticket-text.ts';

const NAMESPACE = 'team-a';
const NODES = ['cpu-1', 'gpu-1'] as const;
const LONG_MS = 60_000;

let kube: KubeFixture;
let store: Store<Kinds>;
let replicas: OperatorProcess[];
let caPem = '';
const agents = new Map<string, OperatorClient>();
const stopped = new AbortController();

jest.setTimeout(180_000);

beforeAll(async () => {
  kube = await startKube([NAMESPACE, 'aquifer-system']);
  store = kubeStore({ connection: kube.connection, clock: systemClock, manager: 'test', resources: kindResources });
  await createServiceAccount(kube.connection, NAMESPACE, 'default');
  await createServiceAccount(kube.connection, 'aquifer-system', 'aquifer-node');
  await store.create('GPUPool', { metadata: { name: 'default' }, spec: {} });
  await store.create('GPUNode', { metadata: { name: 'gpu-1' } });
  const agent = { version: '1', endpoint: 'gpu-1:9960' };
  const status = { agent, gpus: [gpu('GPU-a', 0, { memory: '8Gi' })] };
  await store.patch('GPUNode', { name: 'gpu-1' }, { status }, { subresource: 'status' });
  const start = () =>
    startOperatorProcess(kube.api.kubeconfig, ['--agent-grace-period', '1h', '--release-timeout', '1h']);
  replicas = await Promise.all([start(), start()]);
  const addresses = await Promise.all(replicas.map((replica) => replica.nodeApi()));
  const address = `ipv4:${addresses.map((one) => one.replace('ipv4:', '')).join(',')}`;
  caPem = await publishedCa();
  for (const node of NODES) {
    const token = await agentToken(kube.connection, 'aquifer', node);
    agents.set(node, client(address, token));
  }
}, 180_000);

afterAll(async () => {
  stopped.abort();
  for (const agent of agents.values()) agent[Symbol.dispose]();
  for (const replica of replicas) await replica[Symbol.asyncDispose]();
  await kube[Symbol.asyncDispose]();
});

/** What the chart mounts into agents. */
async function publishedCa(): Promise<string> {
  const path = '/api/v1/namespaces/default/configmaps/aquifer-ca';
  const { data } = (await kube.connection.call({ method: 'GET', path })) as { data: Record<string, string> };
  return data['ca.crt'] ?? '';
}

const client = (address: string, token: string): OperatorClient =>
  operatorClient({
    address,
    caPem,
    serverName: 'aquifer-operator',
    token: () => Promise.resolve(token),
    clock: systemClock,
    signal: stopped.signal,
    patienceMs: 20_000,
  });

function agentOf(node: (typeof NODES)[number]): OperatorClient {
  const agent = agents.get(node);
  if (agent === undefined) throw new Error(`no agent of ${node}`);
  return agent;
}

/** A pod that kubelet of that node would run, and the wish of the node's connector for it. */
async function runningPod(node: string, claim: string) {
  const metadata = { name: uniqueName('pod'), annotations: { 'aquifer.dev/claim': claim } };
  const spec = {
    nodeName: node,
    containers: [
      { name: 'main', image: 'x' },
      { name: 'other', image: 'x' },
    ],
  };
  const body = { apiVersion: 'v1', kind: 'Pod', metadata, spec };
  const pod = (await kube.connection.call({
    method: 'POST',
    path: `/api/v1/namespaces/${NAMESPACE}/pods`,
    body,
  })) as Pod;
  const { name: podName, uid: podUid } = pod.metadata;
  return { podNamespace: NAMESPACE, podName, podUid, container: 'main', holderKey: newHolderKey() };
}

async function boundClaim(): Promise<string> {
  const { metadata } = await store.create('VGPUClaim', claimDraft(NAMESPACE));
  const isBound = async () => (await store.get('VGPUClaim', metadata))?.status?.phase === 'Bound';
  await eventually(isBound, (bound) => bound, LONG_MS);
  return metadata.name;
}

const reasonOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'it was granted',
    (error: { readonly reason?: string }) => error.reason,
  );

/** Follows the leader, whichever replica that is, until it asks about the claim. */
async function reportClosed(wanted: string | undefined): Promise<void> {
  const agent = agentOf('gpu-1');
  const attempt = async (): Promise<boolean> => {
    for await (const { claimUid } of agent.closings()) {
      await agent.reportClosing(claimUid);
      if (claimUid === wanted) return true;
    }
    return false;
  };
  await eventually(
    () => attempt().catch(() => false),
    (done) => done,
    LONG_MS,
  );
}

describe('the operator in a cluster', () => {
  test('gives the connector of a pod’s node a ticket for its claim, of the epoch of the Lease', async () => {
    const claim = await boundClaim();
    const wish = await runningPod('cpu-1', claim);
    const { metadata, ticket, endpoints, ca } = await agentOf('cpu-1').issueTicket(wish);
    expect(metadata).toEqual({ namespace: NAMESPACE, name: claim });
    expect(endpoints).toEqual([{ node: 'gpu-1', address: 'gpu-1:9960' }]);
    expect(ca).toBe(caPem);
    const path = '/apis/coordination.k8s.io/v1/namespaces/default/leases/aquifer-operator';
    const lease = (await kube.connection.call({ method: 'GET', path })) as {
      metadata: { annotations: Record<string, string> };
    };
    expect(payloadOf(ticket)).toMatchObject({
      epoch: Number(lease.metadata.annotations['aquifer.dev/epoch']),
      claim: { namespace: NAMESPACE, name: claim },
      vgpus: [{ gpu: 'GPU-a', memoryBytes: 1024 ** 3, computePercent: 10 }],
      cnf: { jwk: { x: wish.holderKey } },
    });
  });

  test('gives none to another node, for another pod of the name, or for a pod that uses no claim', async () => {
    const wish = await runningPod('cpu-1', await boundClaim());
    expect(await reasonOf(agentOf('gpu-1').issueTicket(wish))).toBe('PodNotFound');
    expect(await reasonOf(agentOf('cpu-1').issueTicket({ ...wish, podUid: 'another' }))).toBe('PodNotFound');
    expect(await reasonOf(agentOf('cpu-1').issueTicket({ ...wish, podName: '..' }))).toBe('PodNotFound');
    expect(await reasonOf(agentOf('cpu-1').issueTicket({ ...wish, container: 'none' }))).toBe('NoClaim');
    const waiting = await runningPod('cpu-1', 'nowhere');
    expect(await reasonOf(agentOf('cpu-1').issueTicket(waiting))).toBe('ClaimNotFound');
  });

  test('vouches for a node’s gateway, at any replica, and for no other', async () => {
    const [own, foreign, operator] = [
      await certificateRequest('gpu-1'),
      await certificateRequest('cpu-1'),
      await certificateRequest('aquifer-operator'),
    ];
    const { caPem: ca, epoch } = await agentOf('gpu-1').enrol(own.csrPem);
    expect(ca).toBe(caPem);
    expect(epoch).toBeGreaterThan(0);
    expect(await reasonOf(agentOf('gpu-1').enrol(foreign.csrPem))).toBe('CsrNameWrong');
    expect(await reasonOf(agentOf('gpu-1').enrol(operator.csrPem))).toBe('CsrNameWrong');
  });

  test('gives a claim back only when its node says that no session is left', async () => {
    const name = await boundClaim();
    const claim = await store.delete('VGPUClaim', { namespace: NAMESPACE, name });
    await new Promise((done) => setTimeout(done, 1500));
    expect(await store.get('VGPUClaim', { namespace: NAMESPACE, name })).toBeDefined();
    await reportClosed(claim?.metadata.uid);
    await eventually(
      () => store.get('VGPUClaim', { namespace: NAMESPACE, name }),
      (left) => left === undefined,
      LONG_MS,
    );
  });

  test('goes on with the next replica when the leader is killed: tickets have a higher epoch', async () => {
    const wish = await runningPod('cpu-1', await boundClaim());
    const first = payloadOf((await agentOf('cpu-1').issueTicket(wish)).ticket);
    for (const replica of replicas) if (await replica.leads()) await replica.kill();
    const second = payloadOf((await agentOf('cpu-1').issueTicket(wish)).ticket);
    expect(second.epoch).toBeGreaterThan(first.epoch);
  });
});
