import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { unpackDebianPackages } from '../../scripts/images/debian-packages.ts';
import { cacheFolder } from './cache.ts';
import { DEBIAN_PACKAGES } from './components.ts';

/** Unpacks the Debian packages into the cache where they are not yet. @returns the folder that stands for their `/`. */
export function ensureDebianPackages(): string {
  const root = join(cacheFolder(), 'debian');
  if (existsSync(root)) return root;
  console.error(`unpacking Debian packages: ${DEBIAN_PACKAGES.join(', ')}`);
  mkdirSync(cacheFolder(), { recursive: true });
  const folder = mkdtempSync(join(cacheFolder(), 'build-'));
  try {
    unpackDebianPackages(DEBIAN_PACKAGES, join(folder, 'root'));
    if (!existsSync(root)) renameSync(join(folder, 'root'), root);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return root;
}
