import { isStoreError } from '../runtime/store.ts';
import type { Connection } from './connection.ts';
import { collectionPath, objectPath, type Resource } from './resource.ts';

const CONFIG_MAPS: Resource = { apiVersion: 'v1', kind: 'ConfigMap', plural: 'configmaps', namespaced: true };

/** Makes the ConfigMap say this, whether it is there or not. Equal content is no write. */
export async function publishConfigMap(
  connection: Pick<Connection, 'call'>,
  key: { readonly namespace: string; readonly name: string },
  data: Readonly<Record<string, string>>,
): Promise<void> {
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: key, data };
  try {
    await connection.call({ method: 'POST', path: collectionPath(CONFIG_MAPS, key.namespace), body });
  } catch (error) {
    if (!isStoreError(error, 'AlreadyExists')) throw error;
    const contentType = 'application/merge-patch+json';
    await connection.call({ method: 'PATCH', path: objectPath(CONFIG_MAPS, key), body: { data }, contentType });
  }
}
