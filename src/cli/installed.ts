import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CommandError } from './failure.ts';

/** This file is PREFIX/lib/aquifer/js/cli/installed.js; from a source tree, the prefix is build/dist. */
function prefix(): string {
  const file = fileURLToPath(import.meta.url);
  return file.endsWith('.ts') ? resolve(file, '../../../build/dist') : resolve(file, '../../../../..');
}

/** The directory with our `libcuda.so.1`. @throws CommandError if it is not installed. */
export const clientLibraries = (): string => part('lib/aquifer/client');

/** The connector that takes a ticket to another host. @throws CommandError if it is not installed. */
export const connectorProgram = (): string => part('bin/aquifer-connector');

function part(name: string): string {
  const path = join(prefix(), name);
  if (!existsSync(path))
    throw new CommandError(`${path} is missing: install Aquifer again, or run make build in a source tree`);
  return path;
}
