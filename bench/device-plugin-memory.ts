import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { eventually } from '../test/support/eventually.ts';
import { FakeKubelet } from '../test/support/fake-kubelet.ts';
import { fakeConnector, publishSlices, runDirOf } from '../test/support/plugin-fixture.ts';

const AQUIFER = resolve(import.meta.dirname, '../build/dist/bin/aquifer');
const SLOT = 'aquifer.dev/slot';
const STARTS = 500;

/** What the installed device plugin takes on a node with 800 slices, after 500 containers were started on it. */
export async function devicePluginBytes(
  resources: AsyncDisposableStack,
  peakBytes: (pid: number) => Promise<number>,
): Promise<number> {
  await using kubelet = new FakeKubelet();
  await kubelet.start();
  await using _ = await fakeConnector(kubelet);
  const directories = ['--kubelet-dir', kubelet.directory, '--state-dir', join(kubelet.directory, 'state')];
  const words = ['device-plugin', ...directories, '--run-dir', runDirOf(kubelet), '--listen', '127.0.0.1:0'];
  const child = spawn(AQUIFER, words, { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(child, 'exit');
  resources.defer(() => void child.kill('SIGKILL'));
  try {
    await eventually(
      () => kubelet.devices(SLOT),
      (devices) => devices !== undefined,
    );
    for (let i = 0; i < STARTS; i++) {
      const devicesIds = [`slot-${i % 256}`];
      await kubelet.call(SLOT, 'Allocate', { containerRequests: [{ devicesIds }] });
      await kubelet.call(SLOT, 'PreStartContainer', { devicesIds });
      if (i % 25 === 0) await publishSlices(kubelet, 800, i);
    }
    return await peakBytes(child.pid ?? 0);
  } finally {
    child.kill('SIGTERM');
    await ended;
  }
}
