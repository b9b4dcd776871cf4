import { kinds, type Kind } from '../api/kinds.ts';
import { API_VERSION } from '../api/meta.ts';
import { StoreError, type Key } from '../runtime/store.ts';

/** A resource of the API server: where its objects are. */
export interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

export const resourceOf = (kind: Kind): Resource => ({ apiVersion: API_VERSION, ...kinds[kind] });

/** `/apis/aquifer.dev/v1alpha1/namespaces/team-a/vgpuclaims`; without a namespace those of all. */
export function collectionPath({ apiVersion, plural }: Resource, namespace?: string): string {
  const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  return namespace === undefined
    ? `${group}/${plural}`
    : `${group}/namespaces/${segment('namespace', namespace)}/${plural}`;
}

export function objectPath(resource: Resource, { namespace, name }: Key): string {
  if (resource.namespaced !== (namespace !== undefined)) {
    const message = resource.namespaced
      ? 'is required'
      : `must be left out: a ${resource.kind} belongs to no namespace`;
    throw invalid('metadata.namespace', message);
  }
  return `${collectionPath(resource, namespace)}/${segment('name', name)}`;
}

/** What would lead out of the collection is no name. */
function segment(field: 'name' | 'namespace', text: string): string {
  if (['', '.', '..'].includes(text)) throw invalid(`metadata.${field}`, `must be a name, not "${text}"`);
  return encodeURIComponent(text);
}

const invalid = (field: string, message: string): StoreError =>
  new StoreError('Invalid', `${field} ${message}`, { details: [{ field, message }] });

/** `?a=b&c=d`, without what is undefined. */
export function query(parameters: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(parameters).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}
