import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { clusterKindNames } from '../../src/api/cluster-kinds.ts';
import { connect, type Connection } from '../../src/kube/connection.ts';
import { loadKubeConfig } from '../../src/kube/load-config.ts';
import { clusterResources, collectionPath } from '../../src/kube/resource.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { startApiServer, type ApiServer } from './api-server.ts';
import { eventually } from './eventually.ts';

const CRDS = resolve(import.meta.dirname, '../../deploy/crds');

const SERVED_MS = 120_000;

/** A real API server with our kinds, and a connection to it. */
export interface KubeFixture extends AsyncDisposable {
  readonly api: ApiServer;
  readonly connection: Connection;
}

export async function startKube(
  namespaces: readonly string[],
  options: Parameters<typeof startApiServer>[0] = {},
): Promise<KubeFixture> {
  const api = await startApiServer(options);
  const connection = connect({ loadConfig: () => loadKubeConfig(api.kubeconfig), clock: systemClock });
  try {
    for (const name of namespaces) {
      const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
      await connection.call({ method: 'POST', path: '/api/v1/namespaces', body });
    }
    for (const file of readdirSync(CRDS)) await applyCrd(connection, readFileSync(join(CRDS, file), 'utf8'));
    await waitUntilServed(connection);
  } catch (error) {
    await api[Symbol.asyncDispose]();
    throw error;
  }
  return {
    api,
    connection,
    async [Symbol.asyncDispose]() {
      connection[Symbol.dispose]();
      await api[Symbol.asyncDispose]();
    },
  };
}

interface Crd {
  readonly metadata: { readonly name: string };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** Creates the definition, and waits until the API server has taken it up. */
async function applyCrd(connection: Connection, yaml: string): Promise<void> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const crd = parse(yaml) as Crd;
  await connection.call({ method: 'POST', path, body: crd });
  await eventually(
    async () => (await connection.call({ method: 'GET', path: `${path}/${crd.metadata.name}` })) as Crd,
    ({ status }) =>
      status?.conditions?.some(({ type, status: is }) => type === 'Established' && is === 'True') === true,
    SERVED_MS,
  );
}

/** A fresh API server is ready some time before it knows our kinds. */
export async function waitUntilServed(connection: Connection): Promise<void> {
  for (const kind of clusterKindNames) {
    const path = collectionPath(clusterResources[kind]);
    const isServed = (): Promise<boolean> =>
      connection.call({ method: 'GET', path }).then(
        () => true,
        () => false,
      );
    await eventually(isServed, (served) => served, SERVED_MS);
  }
}
