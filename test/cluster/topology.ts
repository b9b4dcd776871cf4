import { join } from 'node:path';
import { SERVICE_RANGE } from './control-plane.ts';

/** The two nodes: one with GPUs, one without. Each has the address of its host and the range of its pods. */
export const NODES = [
  { name: 'gpu-1', address: '10.90.0.11', podRange: '10.244.1.0/24' },
  { name: 'cpu-1', address: '10.90.0.12', podRange: '10.244.2.0/24' },
] as const;

export type Node = (typeof NODES)[number];
export type NodeName = Node['name'];
/** Where something runs: in the namespaces of the control plane or of a node. */
export type Where = 'control-plane' | NodeName;
export const PLACES: readonly Where[] = ['control-plane', ...NODES.map(({ name }) => name)];

export const CONTROL_PLANE_ADDRESS = '10.90.0.1';
export const POD_RANGE = '10.244.0.0/16';
export const DNS_SERVICE = '10.96.0.10';
export const DOMAIN = 'cluster.local';

/** What the shell scripts inside the namespaces have to know. */
export const SCRIPT_SETTINGS = { CONTROL_PLANE_ADDRESS, SERVICE_RANGE };

/** The two ends of the link between the host and the control plane: several clusters lie side by side. */
export const hostLink = (id: number): { readonly host: string; readonly cluster: string } => ({
  host: `10.91.${id}.1`,
  cluster: `10.91.${id}.2`,
});

/** The host's end of that link. */
export const hostVeth = (id: number): string => `aq-cluster-${id}`;

/** Where a cluster of this machine keeps all that it is. */
export const stateFolder = (id: number): string => join('/var/tmp', `aquifer-cluster-${id}`);

/** The scripts that run inside the namespaces. */
export const SCRIPTS = join(import.meta.dirname, 'namespaces');
