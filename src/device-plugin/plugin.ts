import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { givenOut } from '../grpc/pod-resources.ts';
import { reconnectingClient } from '../ipc/reconnecting-client.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { VERSION } from '../lib/version.ts';
import { CDI_DEVICE, publishCdiSpecification } from './cdi-specification.ts';
import type { PluginCounts } from './counts.ts';
import { keepRegistered, type Registrar } from './registrar.ts';
import type { Resource } from './resource.ts';
import { readSavedList, saveList } from './saved-list.ts';
import { sliceKeeper } from './slice-keeper.ts';
import type { SliceList } from './slice-list.ts';
import type { NodeLayout } from './slot-mounts.ts';
import { slotPreparer } from './slot-preparer.ts';
import { slotNames, slotResource } from './slot-resource.ts';
import { serveSupply } from './supply-socket.ts';

export interface DevicePluginOptions {
  readonly kubeletDir: string;
  readonly stateDir: string;
  readonly runDir: string;
  readonly clientDir: string;
  readonly cdiDir?: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly counts: PluginCounts;
}

export interface DevicePlugin extends AsyncDisposable {
  /** Each resource that is offered, and whether kubelet watches it: only then can pods have it. */
  readonly watched: () => ReadonlyMap<string, boolean>;
  readonly slices: () => SliceList;
}

/** Slots and slices of this node, kept registered with its kubelet. */
export async function startDevicePlugin(options: DevicePluginOptions): Promise<DevicePlugin> {
  const { kubeletDir, stateDir, runDir, clock, log, counts } = options;
  await using stack = new AsyncDisposableStack();
  const layout = makeLayout(options, stack);
  const directory = join(kubeletDir, 'device-plugins');
  const savedList = join(stateDir, 'slices.json');

  const connector = stack.use(
    reconnectingClient({
      path: join(runDir, 'connector.sock'),
      name: 'device-plugin',
      version: VERSION,
      timeoutMs: 10_000,
    }),
  );
  const registrars = stack.use(new AsyncDisposableStack());
  const registered = new Map<string, Registrar>();
  const register = (resource: Resource): void => {
    if (registered.has(resource.name)) return;
    registered.set(resource.name, registrars.use(keepRegistered({ resource, directory, clock, log, counts })));
  };
  register(slotResource(layout, slotPreparer({ connector, clock, counts })));

  const saved = readSaved(savedList, log);
  const keeper = stack.use(
    sliceKeeper({
      clock,
      log,
      saved,
      save: (list) => saveList(savedList, list),
      givenOut: (resource) => givenOut(join(kubeletDir, 'pod-resources', 'kubelet.sock'), resource),
    }),
  );
  // A node without GPUs never hears of slices: kubelet should not either.
  if (saved !== undefined) register(keeper.resource);
  stack.use(
    await serveSupply({
      socket: join(runDir, 'device-plugin.sock'),
      log,
      async publish(supply) {
        const list = await keeper.publish(supply);
        register(keeper.resource);
        return list;
      },
    }),
  );
  const owned = stack.move();
  return {
    watched: () => new Map([...registered].map(([resource, { isWatched }]) => [resource, isWatched()])),
    slices: keeper.resource.list,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** What a slot is made of; its CDI device is there as long as the plugin. */
function makeLayout(options: DevicePluginOptions, stack: AsyncDisposableStack): NodeLayout {
  const { stateDir, runDir, clientDir, cdiDir } = options;
  const layout = { slots: makeDirectories(runDir, stateDir), client: clientDir };
  if (cdiDir === undefined) return layout;
  stack.use(publishCdiSpecification(cdiDir, join(clientDir, 'container-hook')));
  return { ...layout, cdiDevice: CDI_DEVICE };
}

/** The slots' directories are there before any pod: a mount needs them, and they must never be made anew under one. */
function makeDirectories(runDir: string, stateDir: string): string {
  const slots = join(runDir, 'slots');
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  for (const name of slotNames) mkdirSync(join(slots, name), { recursive: true, mode: 0o711 });
  for (const name of slotNames) chmodSync(join(slots, name), 0o711); // Whatever the umask said.
  return slots;
}

/** A list that cannot be read is as good as none: the backend will say anew what there is. */
function readSaved(path: string, log: Log): SliceList | undefined {
  try {
    return readSavedList(path);
  } catch (err) {
    log.error('saved list of slices is not readable', { path, err });
    return undefined;
  }
}
