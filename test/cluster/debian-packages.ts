import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { unpackDebianPackages } from '../../scripts/images/debian-packages.ts';
import { cacheFolder } from './cache.ts';
import { DEBIAN_PACKAGES } from './components.ts';

/** Unpacks the Debian packages of a cluster into the cache where they are not yet. @returns the folder that stands for their `/`. */
export const ensureDebianPackages = (): string => ensureUnpacked(DEBIAN_PACKAGES, join(cacheFolder(), 'debian'));

/** Unpacks Debian packages into `root` where it is not there yet, whole or not at all. @returns root */
export function ensureUnpacked(packages: readonly string[], root: string): string {
  if (existsSync(root)) return root;
  console.error(`unpacking Debian packages: ${packages.join(', ')}`);
  const parent = dirname(root);
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, 'build-'));
  try {
    unpackDebianPackages(packages, join(folder, 'root'));
    if (!existsSync(root)) renameSync(join(folder, 'root'), root);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return root;
}
