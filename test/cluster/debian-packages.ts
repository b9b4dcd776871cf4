import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
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
    download(folder);
    const archives = readdirSync(folder).filter((file) => file.endsWith('.deb'));
    for (const archive of archives) execFileSync('dpkg', ['-x', join(folder, archive), join(folder, 'root')]);
    if (!existsSync(root)) renameSync(join(folder, 'root'), root);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return root;
}

function download(folder: string): void {
  const get = (): void =>
    // Root's apt hands downloads to a user of its own, who may not write here: that is a warning, and fine.
    void execFileSync('apt-get', ['download', '--quiet', ...DEBIAN_PACKAGES], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  try {
    get();
  } catch {
    execFileSync('apt-get', ['update', '--quiet'], { stdio: ['ignore', 'ignore', 'pipe'] });
    get();
  }
}
