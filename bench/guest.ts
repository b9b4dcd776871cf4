import { GuestHost } from '../test/guest/guest-host.ts';
import { giveTicket, offerClaim, serveOn, startGuestConnector } from '../test/guest/guest-claim.ts';
import { overTap, overVsock } from './guest-channels.ts';
import { containerStart, nestedOverRoot } from './guest-containers.ts';
import { migrationPause } from './guest-migration.ts';
import type { BenchResult } from './result.ts';

/** Copies of 64 MiB are kept twice. */
const GUEST_MIB = 640;
/** Kernels are checked and then done at once: what is left is the way to them. */
const NULL_KERNELS = { SOFTGPU_NULL_KERNELS: '1' };

const POOL = { apiVersion: 'aquifer.dev/v1alpha1', kind: 'GPUPool', metadata: { name: 'default' }, spec: {} };
const CLAIM = {
  apiVersion: 'aquifer.dev/v1alpha1',
  kind: 'VGPUClaim',
  metadata: { name: 'bench' },
  spec: {
    poolName: 'default',
    resources: { memory: '2Gi', compute: 100 },
    nested: { shares: [{ name: 'all', memory: '1Gi', compute: 100 }] },
  },
};

/** A guest on this host, its containers and its way to the worker. */
export async function measure(resources: AsyncDisposableStack): Promise<readonly BenchResult[]> {
  const host = resources.use(await GuestHost.up({ memoryMiB: GUEST_MIB }));
  console.error(`  the guest is run by ${host.acceleration === 'kvm' ? 'KVM' : 'emulation'}`);
  const guest = await host.boot();
  const serve = resources.use(await serveOn(host, { env: NULL_KERNELS }));
  const stdin = [POOL, CLAIM].map((object) => JSON.stringify(object)).join('\n---\n');
  const applied = await serve.cli(['apply', '-f', '-'], { stdin });
  if (applied.code !== 0) throw new Error(applied.stderr);
  await giveTicket(serve, guest, 'bench');
  const socket = await offerClaim(guest);
  const around = { host, guest, serve, socket, resources };
  const tap = await overTap(around);
  await giveTicket(serve, guest, 'bench');
  await startGuestConnector(guest);
  const nested = [await nestedOverRoot(around), await containerStart(around)];
  const pause = await migrationPause(around, tap);
  return [...tap, ...(await overVsock(around)), ...nested, pause];
}
