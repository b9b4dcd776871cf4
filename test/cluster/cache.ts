import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { COMPONENTS, DEBIAN_PACKAGES } from './components.ts';

/** Where the modules that pin versions lie. */
export const MODULES = join(import.meta.dirname, 'modules');

/** The folder outside the tree that keeps what was once fetched or built. */
export function cacheRoot(): string {
  const { AQUIFER_CACHE, XDG_CACHE_HOME } = process.env;
  return AQUIFER_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'aquifer');
}

/** The part of it that is of one cluster: one for each set of versions. */
export const cacheFolder = (): string => join(cacheRoot(), `kubernetes-${versionKey()}`);

function versionKey(): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([COMPONENTS, DEBIAN_PACKAGES]))
    .update(process.arch);
  for (const file of readdirSync(MODULES, { recursive: true, encoding: 'utf8' }).toSorted()) {
    const path = join(MODULES, file);
    if (statSync(path).isFile()) hash.update(file).update(readFileSync(path));
  }
  return hash.digest('hex').slice(0, 12);
}
