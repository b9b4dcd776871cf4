import { join } from 'node:path';
import type { InstallPrefix } from './install-prefix.ts';
import { readInventory, type InventoryOptions } from './inventory.ts';

/** Which driver the GPUs of this host are reached through. */
export type GpuSource = Pick<InventoryOptions, 'driver' | 'nvml' | 'environment'>;

/** What stands in the way when there is no GPU. */
export class NoGpus extends Error {
  override readonly name = 'NoGpus';
}

/** Those of NVIDIA's driver, where there are any. */
export const NVIDIA: GpuSource = { driver: 'libcuda.so.1', nvml: 'libnvidia-ml.so.1', environment: {} };

/** Where software GPUs are and run. */
interface SoftwareGpuPlace {
  readonly prefix: Pick<InstallPrefix, 'softwareGpuLibraries'>;
  /** Where their processes meet. */
  readonly stateDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Software GPUs: `setting` is COUNTxMEMORY, such as 2x8Gi. Their processes share what they do through a directory; their model
 * and whatever else they can be told is taken from the variables of `env` that begin with `SOFTGPU_`.
 */
export function softwareGpus(setting: string, { prefix, stateDir, env }: SoftwareGpuPlace): GpuSource {
  const own = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[0].startsWith('SOFTGPU_') && entry[1] !== undefined,
  );
  return {
    driver: join(prefix.softwareGpuLibraries, 'libcuda.so.1'),
    nvml: join(prefix.softwareGpuLibraries, 'libnvidia-ml.so.1'),
    environment: { ...Object.fromEntries(own), SOFTGPU_DEVICES: setting, SOFTGPU_STATE_DIR: stateDir },
  };
}

/** The GPUs that NVML shows. @throws NoGpus that says what to do when it shows none. */
export async function nvidiaGpus(worker: string): Promise<GpuSource> {
  const found = await readInventory({ worker, ...NVIDIA }).catch((error: unknown) => error);
  if (Array.isArray(found) && found.length > 0) return NVIDIA;
  const why = found instanceof Error ? found.message : 'the driver shows none';
  throw new NoGpus(
    `there is no GPU on this host (${why}). Install the driver of NVIDIA, or take software GPUs: aquifer serve --software-gpus 2x8Gi`,
  );
}
