import { clusterKinds, type TicketRequestKinds } from '../api/cluster-kinds.ts';
import { kinds, type Kinds } from '../api/kinds.ts';
import { API_VERSION } from '../api/meta.ts';
import { POD_LABEL, type PodKinds } from '../api/pod.ts';
import { StoreError, type Key, type Kind, type KindTable } from '../runtime/store.ts';

/** A resource of the API server: where its objects are. */
export interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Labels of the objects that lists and watches are about; all others are not seen. */
  readonly selector?: Readonly<Record<string, string>>;
  /** The name of the one object that lists and watches are about. */
  readonly only?: string;
}

export type Resources<Kinds extends KindTable<Kinds>> = Readonly<Record<Kind<Kinds>, Resource>>;

export const kindResources: Resources<Kinds> = {
  GPUPool: { apiVersion: API_VERSION, ...kinds.GPUPool },
  GPUNode: { apiVersion: API_VERSION, ...kinds.GPUNode },
  VGPUClaim: { apiVersion: API_VERSION, ...kinds.VGPUClaim },
};

export const ticketRequestResources: Resources<TicketRequestKinds> = {
  TicketRequest: { apiVersion: API_VERSION, ...clusterKinds.TicketRequest },
};

export const clusterResources: Resources<Kinds & TicketRequestKinds> = { ...kindResources, ...ticketRequestResources };

export const podResources: Resources<PodKinds> = {
  Pod: { apiVersion: 'v1', kind: 'Pod', plural: 'pods', namespaced: true, selector: { [POD_LABEL]: 'true' } },
};

export const LEASES: Resource = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
};

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
