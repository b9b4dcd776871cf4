import { execFile } from 'node:child_process';
import { resolve } from 'node:path';

const MAIN = resolve(import.meta.dirname, '../../src/cli/kubectl/main.ts');
const LONG_MS = 120_000;

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the plugin of kubectl to its end. */
export function kubectlAquifer(kubeconfig: string, ...words: readonly string[]): Promise<Ended> {
  const args = ['--disable-warning=ExperimentalWarning', MAIN, ...words];
  const env = { ...process.env, KUBECONFIG: kubeconfig };
  return new Promise((done) => {
    execFile(process.execPath, args, { env, timeout: LONG_MS }, (error, stdout, stderr) =>
      done({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr }),
    );
  });
}
