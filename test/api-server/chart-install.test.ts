import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse, stringify } from 'yaml';
import type { VGPUClaim } from '../../src/api/kinds.ts';
import type { Pod } from '../../src/api/pod.ts';
import { leasePulse } from '../../src/kube/heartbeats.ts';
import { connect, type Connection } from '../../src/kube/connection.ts';
import { loadKubeConfig } from '../../src/kube/load-config.ts';
import { isStoreError } from '../../src/runtime/store.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { agentToken, createServiceAccount, serviceAccountToken } from '../support/agent-token.ts';
import { startApiServer, type ApiServer } from '../support/api-server.ts';
import { gpu } from '../support/builders.ts';
import { CHART, NAMESPACE, podOf, release, render, uninstall } from '../support/chart.ts';
import { eventually } from '../support/eventually.ts';
import { waitUntilServed } from '../support/kube-fixture.ts';
import { kubectlAquifer } from '../support/kubectl-aquifer.ts';
import { newHolderKey } from '../support/node-api-fixture.ts';
import { startOperatorProcess, type OperatorProcess } from '../support/operator-process.ts';
import { run } from '../cluster/run.ts';

const MINUTES = 60_000;
/** What tokens for the API server are for. */
const API_SERVER = 'https://kubernetes.default.svc.cluster.local';
const AQUIFER = '/apis/aquifer.dev/v1alpha1';
const GPU_NODES = `${AQUIFER}/gpunodes`;
const CLAIMS = `${AQUIFER}/namespaces/team-a/vgpuclaims`;
const REQUESTS = `${AQUIFER}/namespaces/team-a/ticketrequests`;
const PODS = '/api/v1/namespaces/team-a/pods';
const CRD = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/vgpuclaims.aquifer.dev';
const LEASES = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
const UNINSTALL = resolve(import.meta.dirname, '../../src/operator/uninstall/main.ts');
const MERGE = 'application/merge-patch+json';

interface Definition {
  readonly spec: { readonly versions: readonly [{ readonly additionalPrinterColumns: unknown[] }] };
}

jest.setTimeout(5 * MINUTES);

describe('the chart on an API server', () => {
  let api: ApiServer;
  let admin: Connection;
  let folder: string;

  /** A kubeconfig of whoever has this token. */
  const kubeconfigOf = (name: string, token: string): string => {
    const { clusters, contexts } = JSON.parse(readFileSync(api.kubeconfig, 'utf8')) as {
      readonly clusters: readonly unknown[];
      readonly contexts: readonly unknown[];
    };
    const users = [{ name: 'admin', user: { token } }];
    const file = join(folder, name);
    const config = { apiVersion: 'v1', kind: 'Config', 'current-context': 'test', clusters, contexts, users };
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    return file;
  };
  const connectionOf = (name: string, token: string): Connection => {
    const file = kubeconfigOf(name, token);
    return connect({ loadConfig: () => loadKubeConfig(file), clock: systemClock });
  };
  /** An operator as its ServiceAccount. */
  const operator = async (): Promise<OperatorProcess> => {
    const token = await serviceAccountToken(admin, { name: 'aquifer-operator', audience: API_SERVER });
    const kubeconfig = kubeconfigOf('operator', token);
    const graces = ['--agent-grace-period', '1h', '--release-timeout', '500ms'];
    return startOperatorProcess(kubeconfig, ['--namespace', NAMESPACE, ...graces]);
  };
  const post = (connection: Connection, path: string, body: object): Promise<unknown> =>
    connection.call({ method: 'POST', path, body });
  const columns = async (): Promise<number> => {
    const { spec } = (await admin.call({ method: 'GET', path: CRD })) as Definition;
    return spec.versions[0].additionalPrinterColumns.length;
  };

  /** The chart as it was before a column of claims was added. */
  function earlierChart(): string {
    const chart = join(folder, 'chart');
    cpSync(CHART, chart, { recursive: true });
    const file = join(chart, 'files/crds/aquifer.dev_vgpuclaims.yaml');
    const crd = parse(readFileSync(file, 'utf8')) as Definition;
    crd.spec.versions[0].additionalPrinterColumns.pop();
    writeFileSync(file, stringify(crd));
    return chart;
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'aq-chart-'));
    api = await startApiServer();
    admin = connect({ loadConfig: () => loadKubeConfig(api.kubeconfig), clock: systemClock });
    for (const name of [NAMESPACE, 'team-a']) {
      await post(admin, '/api/v1/namespaces', { metadata: { name } });
    }
    await release('install', { kubeconfig: api.kubeconfig, chart: earlierChart() });
    await waitUntilServed(admin);
  }, 60 * MINUTES);

  afterAll(async () => {
    admin[Symbol.dispose]();
    await api[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  test('takes over the definitions of an earlier one, and leaves claims alone', async () => {
    await post(admin, CLAIMS, claimOf('old'));
    const before = await columns();
    await release('upgrade', { kubeconfig: api.kubeconfig, values: ['gpuNodes.softwareGpus=2x8Gi'] });
    expect(await columns()).toBe(before + 1);
    expect(await admin.call({ method: 'GET', path: `${CLAIMS}/old` })).toMatchObject(claimOf('old'));
  });

  test('lets the operator do all that it must, as its ServiceAccount', async () => {
    await post(admin, `${AQUIFER}/gpupools`, pool('default'));
    await post(admin, GPU_NODES, gpuNode('gpu-a'));
    const agent = { version: '1', endpoint: 'gpu-a:9960' };
    const status = { agent, gpus: [gpu('GPU-a', 0, { memory: '8Gi' })] };
    await admin.call({ method: 'PATCH', path: `${GPU_NODES}/gpu-a/status`, body: { status }, contentType: MERGE });

    await using running = await operator();
    const claim = (): Promise<VGPUClaim | undefined> =>
      admin.call({ method: 'GET', path: `${CLAIMS}/old` }).then(
        (found) => found as VGPUClaim,
        () => undefined,
      );
    await eventually(claim, (found) => found?.status?.phase === 'Bound', MINUTES);
    const events = () => admin.call({ method: 'GET', path: '/api/v1/namespaces/team-a/events' });
    await eventually(events, (list) => JSON.stringify(list).includes('"name":"old"'), MINUTES);

    await createServiceAccount(admin, 'team-a', 'default');
    await post(admin, PODS, podThatAsks('asks'));
    const asking = async (): Promise<Pod> => (await admin.call({ method: 'GET', path: `${PODS}/asks` })) as Pod;
    expect((await asking()).metadata.labels).toEqual({ 'aquifer.dev/vgpu': 'true' });
    await eventually(asking, ({ spec }) => spec.schedulingGates === undefined, MINUTES);
    const body = { status: { phase: 'Succeeded' } };
    await admin.call({ method: 'PATCH', path: `${PODS}/asks/status`, body, contentType: MERGE });
    const claims = async () =>
      ((await admin.call({ method: 'GET', path: CLAIMS })) as { readonly items: readonly unknown[] }).items.length;
    await eventually(claims, (count) => count === 1, MINUTES);
    await running.nodeApi();
    await admin.call({ method: 'DELETE', path: `${CLAIMS}/old` });
    await eventually(claim, (found) => found === undefined, MINUTES);

    const said = running.log().filter((line) => /forbidden/i.test(JSON.stringify(line)));
    expect(said).toEqual([]);
  });

  test('gives a ticket to whoever may edit, says to others what they may not, and shows it to those who view', async () => {
    const account = (name: string) => ({ kind: 'ServiceAccount', name, namespace: NAMESPACE });
    const bind = (name: string, role: string) =>
      post(admin, '/apis/rbac.authorization.k8s.io/v1/namespaces/team-a/rolebindings', {
        metadata: { name: `${name}-${role}` },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
        subjects: [account(name)],
      });
    const as = async (name: string, ...roles: readonly string[]): Promise<string> => {
      await createServiceAccount(admin, NAMESPACE, name);
      for (const role of roles) await bind(name, role);
      return kubeconfigOf(name, await serviceAccountToken(admin, { name, audience: API_SERVER }));
    };
    // What the roles `edit` and `view` are made of, where a controller makes them.
    const [editor, viewer] = [await as('editor', 'aquifer-view', 'aquifer-edit'), await as('viewer', 'aquifer-view')];
    await post(admin, REQUESTS, requestOf('forgotten'));
    const condition = { type: 'Issued', status: 'False', reason: 'ClaimNotFound', message: 'there was none' };
    const longAgo = new Date(Date.now() - 3_600_000).toISOString();
    const body = { status: { conditions: [{ ...condition, lastTransitionTime: longAgo }] } };
    await admin.call({ method: 'PATCH', path: `${REQUESTS}/forgotten/status`, body, contentType: MERGE });
    const forgotten = (): Promise<boolean> =>
      admin.call({ method: 'GET', path: `${REQUESTS}/forgotten` }).then(
        () => false,
        (error: unknown) => isStoreError(error, 'NotFound'),
      );
    await using _ = await operator();
    await post(admin, CLAIMS, claimOf('lent'));
    const wish = ['ticket', 'lent', '--namespace=team-a', `--for=${newHolderKey()}`];
    expect(await kubectlAquifer(editor, ...wish)).toMatchObject({ code: 0, stderr: '' });
    const { code, stderr } = await kubectlAquifer(viewer, ...wish);
    expect(code).toBe(1);
    expect(stderr).toContain('cannot create resource "ticketrequests" in API group "aquifer.dev"');
    expect(stderr).toContain('the ClusterRole "edit" has them');
    using connection = connect({ loadConfig: () => loadKubeConfig(editor), clock: systemClock });
    await post(connection, REQUESTS, requestOf('mine'));
    const forge = { method: 'PATCH', path: `${REQUESTS}/mine/status`, body: {}, contentType: MERGE } as const;
    await expect(connection.call(forge)).rejects.toThrow(/forbidden/);
    await connection.call({ method: 'DELETE', path: `${REQUESTS}/mine` });

    await eventually(forgotten, (isForgotten) => isForgotten, MINUTES);
    await admin.call({ method: 'DELETE', path: `${CLAIMS}/lent` });
    const left = () =>
      admin.call({ method: 'GET', path: CLAIMS }).then((list) => JSON.stringify(list).includes('"lent"'));
    await eventually(left, (isLeft) => !isLeft, MINUTES);
  });

  test('holds each agent to the GPUNode and the Lease of its own node', async () => {
    using agent = connectionOf('agent', await agentToken(admin, API_SERVER, 'gpu-1'));
    await post(agent, GPU_NODES, gpuNode('gpu-1'));
    const patch = (name: string, part = '') =>
      agent.call({
        method: 'PATCH',
        path: `${GPU_NODES}/${name}${part}`,
        body: { metadata: { labels: { a: 'b' } } },
        contentType: MERGE,
      });
    await patch('gpu-1');
    await patch('gpu-1', '/status');
    const beat = (node: string) =>
      leasePulse({ connection: agent, clock: systemClock, namespace: NAMESPACE, node }).beat();
    await beat('gpu-1'); // Makes the Lease,
    await beat('gpu-1'); // and renews it.

    const own = /may write its own GPUNode and Lease alone/;
    await expect(beat('gpu-a')).rejects.toThrow(own);
    await expect(beat('aquifer-operator')).rejects.toThrow(own);
    using namesake = connectionOf('namesake', await agentToken(admin, API_SERVER, 'aquifer-operator'));
    const lead = { method: 'PATCH', path: `${LEASES}/aquifer-operator`, body: {}, contentType: MERGE } as const;
    await expect(namesake.call(lead)).rejects.toThrow(/none of a node's/);
    await expect(post(agent, GPU_NODES, gpuNode('gpu-2'))).rejects.toThrow(own);
    await expect(patch('gpu-a')).rejects.toThrow(own);
    await expect(patch('gpu-a', '/status')).rejects.toThrow(own);
    using nobody = connectionOf('nobody', await agentToken(admin, API_SERVER));
    await expect(post(nobody, GPU_NODES, gpuNode('gpu-1'))).rejects.toThrow(own);
  });

  // Every agent may read all GPUNodes: a role cannot limit a watch to the node that it is for.
  test.each([
    ['DELETE', `${GPU_NODES}/gpu-1`],
    ['GET', CLAIMS],
    ['GET', '/api/v1/pods'],
    ['GET', '/api/v1/nodes'],
    ['GET', LEASES],
    ['DELETE', `${LEASES}/gpu-1`],
    ['GET', `/api/v1/namespaces/${NAMESPACE}/secrets/aquifer-ca`],
  ] as const)('lets no agent %s %s', async (method, path) => {
    using agent = connectionOf('agent', await agentToken(admin, API_SERVER, 'gpu-1'));
    await expect(agent.call({ method, path })).rejects.toThrow(/forbidden/);
  });

  test('makes pods with the operator’s image that the restricted Pod Security level admits', async () => {
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await admin.call({
      method: 'PATCH',
      path: `/api/v1/namespaces/${NAMESPACE}`,
      body: { metadata: { labels } },
      contentType: MERGE,
    });
    const objects = await render();
    const create = (kind: string, name: string) =>
      post(admin, `/api/v1/namespaces/${NAMESPACE}/pods?dryRun=All`, {
        metadata: { name },
        spec: podOf(objects, kind, name),
      });
    await create('Deployment', 'aquifer-operator');
    await create('Job', 'aquifer-uninstall');
    await expect(create('DaemonSet', 'aquifer-node')).rejects.toThrow(/restricted/);
  });

  test('looks whether claims are in use before an uninstall, and may do no more than that', async () => {
    const audience = API_SERVER;
    const token = await serviceAccountToken(admin, { name: 'aquifer-uninstall', audience });
    const kubeconfig = kubeconfigOf('uninstall', token);
    const look = () => run([process.execPath, UNINSTALL], { env: { KUBECONFIG: kubeconfig } });
    await post(admin, CLAIMS, claimOf('waits'));
    expect((await look()).stdout).toMatch(/^none of \d+ claims is in use\n$/);

    const metadata = { name: 'held', finalizers: ['aquifer.dev/release'] };
    await post(admin, CLAIMS, { ...claimOf('held'), metadata });
    await expect(look()).rejects.toThrow('team-a/held: 1 x 1Gi and 10 % on its way');
    await admin.call({
      method: 'PATCH',
      path: `${CLAIMS}/held`,
      body: { metadata: { finalizers: null } },
      contentType: MERGE,
    });

    using nobody = connectionOf('uninstall', token);
    for (const path of [`${CLAIMS}/waits`, GPU_NODES, '/api/v1/pods']) {
      await expect(nobody.call({ method: 'GET', path })).rejects.toThrow(/forbidden/);
    }
    const stranger = kubeconfigOf('stranger', await serviceAccountToken(admin, { name: 'aquifer-node', audience }));
    const lookAsStranger = run([process.execPath, UNINSTALL], { env: { KUBECONFIG: stranger } });
    await expect(lookAsStranger).rejects.toThrow('cannot tell whether claims are in use');
  });

  test('goes, leaves claims and their definitions, and comes again', async () => {
    await post(admin, CLAIMS, claimOf('kept'));
    await uninstall(api.kubeconfig);
    await admin.call({ method: 'GET', path: `${CLAIMS}/kept` });
    const left = ['clusterroles/aquifer-operator', 'clusterroles/aquifer-node', 'clusterrolebindings/aquifer-node'];
    for (const name of left) {
      const path = `/apis/rbac.authorization.k8s.io/v1/${name}`;
      await expect(admin.call({ method: 'GET', path })).rejects.toMatchObject({ code: 'NotFound' });
    }
    await release('install', { kubeconfig: api.kubeconfig });
    await admin.call({ method: 'GET', path: `${CLAIMS}/kept` });
  });
});

const pool = (name: string) => ({ apiVersion: 'aquifer.dev/v1alpha1', kind: 'GPUPool', metadata: { name }, spec: {} });
const gpuNode = (name: string) => ({ apiVersion: 'aquifer.dev/v1alpha1', kind: 'GPUNode', metadata: { name } });
const claimOf = (name: string) => ({
  apiVersion: 'aquifer.dev/v1alpha1',
  kind: 'VGPUClaim',
  metadata: { name },
  spec: { poolName: 'default', resources: { memory: '1Gi', compute: 10 } },
});
const requestOf = (name: string) => ({
  apiVersion: 'aquifer.dev/v1alpha1',
  kind: 'TicketRequest',
  metadata: { name },
  spec: { claimName: 'none', holderKey: newHolderKey() },
});
const podThatAsks = (name: string) => ({
  metadata: { name, annotations: { 'aquifer.dev/memory': '1Gi', 'aquifer.dev/compute': '10' } },
  spec: { containers: [{ name: 'main', image: 'x' }] },
});
