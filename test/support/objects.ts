import { eventually } from './eventually.ts';
import type { VGPUClaim } from '../../src/api/kinds.ts';
import type { SessionView } from '../../src/api/session-view.ts';
import type { Serve } from './serve.ts';

/** The default pool, as a manifest. */
export const POOL = 'apiVersion: aquifer.dev/v1alpha1\nkind: GPUPool\nmetadata: {name: default}\n';

/** A claim on it, as a manifest. */
export const claim = (name: string, memory: string, compute: number): string =>
  `apiVersion: aquifer.dev/v1alpha1
kind: VGPUClaim
metadata: {name: ${name}}
spec: {poolName: default, resources: {memory: ${memory}, compute: ${compute}}}
`;

export async function sessionsOf(serve: Serve): Promise<readonly SessionView[]> {
  const { stdout } = await serve.cli(['sessions', '-o', 'json']);
  return (JSON.parse(stdout) as { readonly items: readonly SessionView[] }).items;
}

/** Waits until `count` programs have sessions in which the GPU has run something: from then on no opening is cut. */
export function programsAtWork(serve: Serve, count = 1): Promise<readonly SessionView[]> {
  const hasComputed = ({ vgpus }: SessionView): boolean => vgpus.some(({ busyNs }) => Number(busyNs) > 0);
  return eventually(
    () => sessionsOf(serve),
    (now) => now.length === count && now.every(hasComputed),
    60_000,
  );
}

/** What the default pool has promised. */
export async function promisedBy(serve: Serve): Promise<{ readonly memory: string; readonly compute: number }> {
  const { stdout } = await serve.cli(['get', 'gpool', 'default', '-o', 'json']);
  const pool = JSON.parse(stdout) as { readonly status: { readonly promised: { memory: string; compute: number } } };
  return pool.status.promised;
}

export async function claimsOf(serve: Serve): Promise<readonly VGPUClaim[]> {
  const { stdout } = await serve.cli(['get', 'vgpuclaims', '-o', 'json']);
  return (JSON.parse(stdout) as { readonly items: readonly VGPUClaim[] }).items;
}
