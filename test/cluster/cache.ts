import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { COMPONENTS, DEBIAN_PACKAGES } from './components.ts';

/** Where the modules that pin versions lie. */
export const MODULES = join(import.meta.dirname, 'modules');

/** The folder outside the tree that keeps what is built once: one for each set of versions. */
export function cacheFolder(): string {
  const { AQUIFER_CACHE, XDG_CACHE_HOME } = process.env;
  const root = AQUIFER_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'aquifer');
  return join(root, `kubernetes-${versionKey()}`);
}

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
