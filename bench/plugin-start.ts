import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { FakeKubelet } from '../test/support/fake-kubelet.ts';
import { runDirOf } from '../test/support/plugin-fixture.ts';
import { percentile, type BenchResult } from './result.ts';

const AQUIFER = resolve(import.meta.dirname, '../build/dist/bin/aquifer');
const SLOT = 'aquifer.dev/slot';
const STARTS = 20;

/** How long the installed device plugin is away when it is started again: until kubelet has its registration. */
export async function pluginStart(resources: AsyncDisposableStack): Promise<BenchResult> {
  const kubelet = resources.use(new FakeKubelet());
  await kubelet.start();
  const samples: number[] = [];
  while (samples.length < STARTS) samples.push(await startOnce(kubelet, resources));
  return {
    name: 'plugin-start',
    unit: 'ms',
    p50: percentile(samples, 50),
    p99: percentile(samples, 99),
    samples: samples.length,
    reference: 'from the start of the process until it has registered its slots, after kill -9',
  };
}

async function startOnce(kubelet: FakeKubelet, resources: AsyncDisposableStack): Promise<number> {
  const registered = new Promise<number>((done) => {
    kubelet.onRegister = ({ resourceName }) => {
      if (resourceName === SLOT) done(performance.now());
    };
  });
  const directories = ['--kubelet-dir', kubelet.directory, '--state-dir', join(kubelet.directory, 'state')];
  const words = ['device-plugin', ...directories, '--run-dir', runDirOf(kubelet), '--listen', '127.0.0.1:0'];
  const from = performance.now();
  const child = spawn(AQUIFER, words, { stdio: ['ignore', 'ignore', 'inherit'] });
  resources.defer(() => void child.kill('SIGKILL'));
  const ended = once(child, 'exit').then(() => {
    throw new Error('the device plugin ended');
  });
  try {
    return (await Promise.race([registered, ended])) - from;
  } finally {
    child.kill('SIGKILL');
    await ended.catch(() => undefined);
  }
}
