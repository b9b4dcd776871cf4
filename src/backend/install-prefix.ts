import { accessSync, constants } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where the parts of the product are installed. */
export interface InstallPrefix {
  readonly worker: string;
  readonly gateway: string;
  readonly spawner: string;
  readonly connector: string;
  /** Directories with `libcuda.so.1` and `libnvidia-ml.so.1`. */
  readonly clientLibraries: string;
  readonly softwareGpuLibraries: string;
}

/** This file is PREFIX/lib/aquifer/js/backend/install-prefix.js; from a source tree, the prefix is build/dist. */
function defaultPrefix(): string {
  const file = fileURLToPath(import.meta.url);
  return file.endsWith('.ts') ? resolve(file, '../../../build/dist') : resolve(file, '../../../../..');
}

/** The parts below `prefix`. @throws Error that names the first part which is missing. */
export function installPrefix(prefix: string = defaultPrefix()): InstallPrefix {
  const parts: InstallPrefix = {
    worker: join(prefix, 'libexec/aquifer/worker'),
    gateway: join(prefix, 'libexec/aquifer/gateway'),
    spawner: join(prefix, 'libexec/aquifer/spawner'),
    connector: join(prefix, 'bin/aquifer-connector'),
    clientLibraries: join(prefix, 'lib/aquifer/client'),
    softwareGpuLibraries: join(prefix, 'lib/aquifer/softgpu'),
  };
  for (const path of Object.values(parts) as string[]) requirePart(path);
  return parts;
}

function requirePart(path: string): void {
  try {
    accessSync(path, constants.R_OK | constants.X_OK);
  } catch (cause) {
    throw new Error(`${path} is missing or cannot be run: install Aquifer again, or run make build in a source tree`, {
      cause,
    });
  }
}
