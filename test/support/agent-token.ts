import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Connection } from '../../src/kube/connection.ts';
import { loadKubeConfig } from '../../src/kube/load-config.ts';
import { uniqueName } from './conformance/fixture.ts';
import type { KubeFixture } from './kube-fixture.ts';

const NAMESPACE = 'aquifer-system';
const NAME = 'aquifer-node';

/** The ServiceAccount of node agents, as the operator is told of it. */
export const AGENT_ACCOUNT = `${NAMESPACE}/${NAME}`;

interface Named {
  readonly metadata: { readonly name: string; readonly uid: string };
}

/** Makes what no controller of this API server makes: the ServiceAccount that pods of a namespace have. */
export async function createServiceAccount(connection: Connection, namespace: string, name: string): Promise<void> {
  const body = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } };
  await connection.call({ method: 'POST', path: `/api/v1/namespaces/${namespace}/serviceaccounts`, body });
}

/** Lets the agents of nodes do all that they may, with their Leases in that namespace. */
export async function grantAgents(connection: Connection, namespace = 'default'): Promise<void> {
  const post = (path: string, body: object) =>
    connection.call({ method: 'POST', path: `/apis/rbac.authorization.k8s.io/v1/${path}`, body });
  await post('clusterroles', {
    metadata: { name: NAME },
    rules: [
      { apiGroups: [''], resources: ['nodes'], verbs: ['get'] },
      { apiGroups: ['aquifer.dev'], resources: ['gpunodes'], verbs: ['get', 'list', 'watch', 'create', 'patch'] },
      { apiGroups: ['aquifer.dev'], resources: ['gpunodes/status'], verbs: ['patch'] },
    ],
  });
  await post(`namespaces/${namespace}/roles`, {
    metadata: { name: NAME },
    rules: [{ apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create', 'patch'] }],
  });
  const subjects = [{ kind: 'ServiceAccount', name: NAME, namespace: NAMESPACE }];
  for (const [path, kind] of [
    ['clusterrolebindings', 'ClusterRole'],
    [`namespaces/${namespace}/rolebindings`, 'Role'],
  ] as const) {
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind, name: NAME };
    await post(path, { metadata: { name: NAME }, roleRef, subjects });
  }
}

/** Writes what kubelet mounts into an agent's pod, to reach the API server with. */
export async function mountServiceAccount({ api, connection }: KubeFixture, folder: string): Promise<void> {
  const path = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/${NAME}/token`;
  const answer = (await connection.call({ method: 'POST', path, body: { spec: {} } })) as {
    readonly status: { readonly token: string };
  };
  writeFileSync(join(folder, 'token'), `${answer.status.token}\n`);
  const ca = loadKubeConfig(api.kubeconfig).getCurrentCluster()?.caData ?? '';
  writeFileSync(join(folder, 'ca.crt'), Buffer.from(ca, 'base64'));
}

/** A token as kubelet projects it into an agent's pod on that node, or one that is bound to no pod. */
export async function agentToken(connection: Connection, audience: string, node?: string): Promise<string> {
  const pod = node === undefined ? undefined : await agentPod(connection, node);
  const boundObjectRef = pod && { apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name, uid: pod.metadata.uid };
  return serviceAccountToken(connection, { name: NAME, audience, boundObjectRef });
}

interface TokenWish {
  readonly name: string;
  readonly audience: string;
  readonly boundObjectRef?: object | undefined;
}

/** A token of a ServiceAccount of the namespace that Aquifer is in. */
export async function serviceAccountToken(connection: Connection, wish: TokenWish): Promise<string> {
  const { name, audience, boundObjectRef } = wish;
  const spec = { audiences: [audience], expirationSeconds: 600, ...(boundObjectRef && { boundObjectRef }) };
  const path = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/${name}/token`;
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
  const { status } = (await connection.call({ method: 'POST', path, body })) as { status: { token: string } };
  return status.token;
}

async function agentPod(connection: Connection, nodeName: string): Promise<Named> {
  const spec = { nodeName, serviceAccountName: NAME, containers: [{ name: 'main', image: 'x' }] };
  const body = { apiVersion: 'v1', kind: 'Pod', metadata: { name: uniqueName('agent') }, spec };
  return (await connection.call({ method: 'POST', path: `/api/v1/namespaces/${NAMESPACE}/pods`, body })) as Named;
}
