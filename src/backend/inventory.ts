import { execFile } from 'node:child_process';
import { parseInventory, type Gpu } from './gpu.ts';

export interface InventoryOptions {
  /** The worker binary. */
  readonly worker: string;
  readonly driver: string;
  readonly nvml?: string;
  readonly environment: Readonly<Record<string, string>>;
  /** A driver that hangs must not hang us. @default 10000 */
  readonly timeoutMs?: number;
}

/** The GPUs that NVML shows, asked for in a process of its own: a driver that crashes or hangs takes nothing else along. */
export function readInventory(options: InventoryOptions): Promise<readonly Gpu[]> {
  const { worker, driver, nvml, environment, timeoutMs = 10_000 } = options;
  const args = ['--inventory', '--driver', driver, ...(nvml === undefined ? [] : ['--nvml', nvml])];
  return new Promise((resolve, reject) => {
    const limits = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 1024 * 1024 } as const;
    execFile(worker, args, { ...limits, env: environment, encoding: 'utf8' }, (error, stdout, stderr) => {
      if (error !== null) return reject(new Error(failureOf(error, stderr, timeoutMs), { cause: error }));
      const gpus = parseInventory(stdout);
      if (gpus === undefined) return reject(new Error('the inventory of GPUs is not readable'));
      return resolve(gpus);
    });
  });
}

function failureOf(error: { readonly killed?: boolean | undefined }, stderr: string, timeoutMs: number): string {
  if (error.killed === true) return `the GPU driver did not answer within ${timeoutMs} ms`;
  const lastLine = stderr.trim().split('\n').at(-1) ?? '';
  return lastLine === '' ? 'the inventory of GPUs failed' : lastLine;
}
