import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { join } from 'node:path';
import type { FakeKubelet } from './fake-kubelet.ts';
import { runDirOf } from './plugin-fixture.ts';

const MAIN = resolve(import.meta.dirname, '../../src/device-plugin/main.ts');

/** The device plugin as a process of its own. Disposing it kills it. */
export interface SpawnedPlugin extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Its exit code; a signal's name where one has ended it. */
  readonly ended: Promise<number | string>;
  /** What it has logged and complained of so far. */
  output(): string;
}

export function spawnPlugin(kubelet: FakeKubelet, port: number, more: readonly string[] = []): SpawnedPlugin {
  const flags = ['--kubelet-dir', kubelet.directory, '--state-dir', join(kubelet.directory, 'state')];
  const words = [...flags, '--run-dir', runDirOf(kubelet), '--listen', `127.0.0.1:${port}`, ...more];
  const env = { ...process.env, NODE_OPTIONS: '' };
  const child = spawn(process.execPath, [MAIN, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  const ended = once(child, 'exit').then(([code, signal]: unknown[]) =>
    typeof code === 'number' ? code : String(signal),
  );
  return {
    child,
    ended,
    output: () => output,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
