import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unpackDebianPackages } from '../../scripts/images/debian-packages.ts';
import { cacheFolder } from './cache.ts';

/**
 * A 64-bit glibc for 32-bit Debians: its loader trusts /lib64 and /usr/lib64, as Red Hat's does, and knows nothing of
 * /usr/lib/x86_64-linux-gnu.
 */
const PACKAGES = ['libc6-amd64', 'lib64gcc-s1'];

/** Unpacks the C library of a Red Hat layout into the cache, once. @returns the folder that stands for its `/`. */
export function ensureRedHatLayout(): string {
  const root = join(cacheFolder(), 'red-hat-layout');
  if (existsSync(root)) return root;
  mkdirSync(cacheFolder(), { recursive: true });
  const folder = mkdtempSync(join(cacheFolder(), 'build-'));
  try {
    unpackDebianPackages(PACKAGES, join(folder, 'root'), listsOf32Bit(join(folder, 'apt')));
    if (!existsSync(root)) renameSync(join(folder, 'root'), root);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return root;
}

/** Settings with which apt reads this machine's sources as a 32-bit machine would, and leaves the machine's own lists alone. */
function listsOf32Bit(folder: string): readonly string[] {
  for (const name of ['state/lists/partial', 'cache/archives/partial']) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  writeFileSync(join(folder, 'state/status'), '');
  const settings = {
    'APT::Architecture': 'i386',
    'APT::Architectures': 'i386',
    'Dir::State': join(folder, 'state'),
    'Dir::State::status': join(folder, 'state/status'),
    'Dir::Cache': join(folder, 'cache'),
  };
  return Object.entries(settings).map(([name, value]) => `--option=${name}=${value}`);
}
