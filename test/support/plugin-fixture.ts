import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDevicePlugin, type DevicePlugin } from '../../src/device-plugin/plugin.ts';
import { Refused } from '../../src/ipc/json-lines.ts';
import { connectLines } from '../../src/ipc/line-client.ts';
import { serveLines } from '../../src/ipc/line-server.ts';
import type { Log } from '../../src/lib/log.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { recordingLog } from './builders.ts';
import type { FakeKubelet } from './fake-kubelet.ts';

/** Everything of the plugin lies below the kubelet's own temporary directory, and goes with it. */
export function pluginOn(kubelet: FakeKubelet, log: Log = recordingLog()): Promise<DevicePlugin> {
  return startDevicePlugin({
    kubeletDir: kubelet.directory,
    stateDir: join(kubelet.directory, 'state'),
    runDir: runDirOf(kubelet),
    clientDir: '/var/lib/aquifer/client/0.1.0',
    cdiDir: join(kubelet.directory, 'cdi'),
    clock: systemClock,
    log,
    counts: { registered: () => undefined, allocated: () => undefined, prepared: () => undefined },
  });
}

export const runDirOf = ({ directory }: FakeKubelet): string => join(directory, 'run');

/** Publishes slices as the backend of the node does. */
export async function publishSlices(kubelet: FakeKubelet, capacity: unknown, withdrawn: unknown): Promise<unknown> {
  const path = join(runDirOf(kubelet), 'device-plugin.sock');
  const client = await connectLines({ path, name: 'backend', version: 'test' });
  try {
    const { withheld, short } = await client.request('publishSlices', { capacity, withdrawn });
    return { withheld, short };
  } finally {
    client.close();
  }
}

export interface FakeConnector extends AsyncDisposable {
  /** The slots that it was asked to prepare, in the order of asking. */
  readonly asked: string[];
  /** Those under work now; more than one of a slot is a fault of the plugin. */
  readonly atOnce: () => number;
}

/** The connector's control socket. `answer` may take its time, or refuse. */
export async function fakeConnector(
  kubelet: FakeKubelet,
  answer: (slot: string, nth: number) => Promise<void> = () => Promise.resolve(),
): Promise<FakeConnector> {
  const runDir = runDirOf(kubelet);
  mkdirSync(runDir, { recursive: true });
  const asked: string[] = [];
  let working = 0;
  let most = 0;
  const server = await serveLines(join(runDir, 'connector.sock'), 'connector', {
    async request(_, op, { slot }) {
      if (op !== 'prepareSlot') throw new Refused('UnknownOperation', op);
      asked.push(String(slot));
      most = Math.max(most, ++working);
      try {
        await answer(String(slot), asked.length);
      } finally {
        working--;
      }
      return {};
    },
    failed: () => undefined,
  });
  return { asked, atOnce: () => most, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

/** Kubelet watches everything that the plugin offers. */
export const isWatched = (plugin: DevicePlugin): boolean => [...plugin.watched().values()].every(Boolean);

export const shortly = (): Promise<void> => sleep(300);
