import type { LeaseRecord, LeaseStore } from '../runtime/leadership.ts';
import { isStoreError, type Key } from '../runtime/store.ts';
import type { Call, Connection } from './connection.ts';
import { collectionPath, LEASES, objectPath } from './resource.ts';

const TRY_MS = 4000; // Two tries fit into the time after which a leader stops.

/** Where the epoch is kept; the count of transitions of the Lease would begin anew with another Lease. */
const EPOCH_ANNOTATION = 'aquifer.dev/epoch';

interface StoredLease {
  readonly metadata: { readonly resourceVersion: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

/** The Lease of that name. */
export function leaseStore(
  connection: Pick<Connection, 'call'>,
  key: Required<Key> & { namespace: string },
): LeaseStore {
  const path = objectPath(LEASES, key);
  const ask = async (call: Call): Promise<StoredLease> => {
    return (await connection.call({ ...call, timeoutMs: TRY_MS })) as StoredLease;
  };
  return {
    async read() {
      const lease = await ask({ method: 'GET', path }).catch((error: unknown) => {
        if (isStoreError(error, 'NotFound')) return undefined;
        throw error;
      });
      return lease && { record: recordOf(lease), version: lease.metadata.resourceVersion };
    },
    async write(record, version) {
      const call: Call =
        version === undefined
          ? { method: 'POST', path: collectionPath(LEASES, key.namespace), body: leaseOf(record, key) }
          : { method: 'PATCH', path, body: leaseOf(record, { resourceVersion: version }), contentType: MERGE_PATCH };
      return (await ask(call)).metadata.resourceVersion;
    },
  };
}

const MERGE_PATCH = 'application/merge-patch+json';

const leaseOf = (record: LeaseRecord, metadata: object) => ({
  apiVersion: LEASES.apiVersion,
  kind: LEASES.kind,
  metadata: { ...metadata, annotations: { [EPOCH_ANNOTATION]: String(record.epoch) } },
  spec: {
    holderIdentity: record.holder ?? null,
    leaseDurationSeconds: Math.ceil(record.durationMs / 1000),
    acquireTime: microTime(record.acquiredAt),
    renewTime: microTime(record.renewedAt),
    leaseTransitions: record.transitions,
  },
});

/** What is missing or no number counts as nothing: the Lease may have been edited by hand. */
function recordOf({ metadata, spec = {} }: StoredLease): LeaseRecord {
  const epoch = Number(metadata.annotations?.[EPOCH_ANNOTATION]);
  return {
    holder: spec.holderIdentity === '' ? undefined : spec.holderIdentity,
    durationMs: (spec.leaseDurationSeconds ?? 0) * 1000,
    acquiredAt: spec.acquireTime ?? '',
    renewedAt: spec.renewTime ?? '',
    transitions: spec.leaseTransitions ?? 0,
    epoch: Number.isSafeInteger(epoch) ? epoch : 0,
  };
}

/** Kubernetes takes six digits and no others. */
export const microTime = (time: string): string | null =>
  time === '' ? null : new Date(time).toISOString().replace('Z', '000Z');
