import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Heartbeats, Pulse } from '../runtime/heartbeats.ts';
import { Informer } from '../runtime/informer.ts';
import { isStoreError, type ApiObject, type Store } from '../runtime/store.ts';
import type { Connection } from './connection.ts';
import { collectionPath, kindResources, LEASES, objectPath, type Resources } from './resource.ts';
import { microTime } from './lease.ts';

/** On the Leases of agents of nodes, and on no other. */
const LABELS = { 'aquifer.dev/agent': 'true' };

interface AgentLease extends ApiObject {
  readonly spec?: { readonly renewTime?: string };
}

/** The table of kinds of a store of agents' Leases. */
export interface LeaseKinds {
  readonly Lease: AgentLease;
}

export const agentLeases: Resources<LeaseKinds> = { Lease: { ...LEASES, selector: LABELS } };

export interface LeaseHeartbeatsOptions {
  readonly store: Pick<Store<LeaseKinds>, 'list' | 'watch'>;
  /** Where the agents' Leases are. */
  readonly namespace: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Agents renew a Lease that has the name of their node, as kubelets do. */
export function leaseHeartbeats(options: LeaseHeartbeatsOptions): Heartbeats {
  return {
    follow(heard, signal) {
      const leases = new Informer<LeaseKinds, 'Lease'>({ ...options, kind: 'Lease' });
      leases.onChange(({ key, before, after }) => {
        const at = after?.spec?.renewTime;
        // A Lease that was deleted is no beat, and what it said last holds until the agent makes it anew.
        if (at !== undefined) heard({ node: nodeOf(key), at, isNews: before !== undefined });
      });
      return leases.run(signal);
    },
  };
}

const nodeOf = (key: string): string => key.slice(key.indexOf('/') + 1);

export interface LeasePulseOptions {
  readonly connection: Pick<Connection, 'call'>;
  readonly clock: Clock;
  readonly namespace: string;
  readonly node: string;
}

/** Renews the Lease of a node, and makes it where there is none: owned by the GPUNode, with which it goes. */
export function leasePulse({ connection, clock, namespace, node }: LeasePulseOptions): Pulse {
  const path = objectPath(LEASES, { namespace, name: node });
  const renewed = () => ({ renewTime: microTime(clock.now().toISOString()) });
  const create = async (): Promise<void> => {
    const { apiVersion, kind } = kindResources.GPUNode;
    const owned = await connection.call({ method: 'GET', path: objectPath(kindResources.GPUNode, { name: node }) });
    const { uid } = (owned as ApiObject).metadata;
    const metadata = { name: node, labels: LABELS, ownerReferences: [{ apiVersion, kind, name: node, uid }] };
    const body = { ...named(LEASES), metadata, spec: { holderIdentity: node, ...renewed() } };
    await connection.call({ method: 'POST', path: collectionPath(LEASES, namespace), body });
  };
  return {
    async beat() {
      const body = { spec: renewed() };
      try {
        await connection.call({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' });
      } catch (error) {
        if (!isStoreError(error, 'NotFound')) throw error;
        await create();
      }
    },
  };
}

const named = ({ apiVersion, kind }: { readonly apiVersion: string; readonly kind: string }) => ({ apiVersion, kind });
