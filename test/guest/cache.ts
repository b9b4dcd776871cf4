import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheRoot } from '../cluster/cache.ts';
import type { KernelSeries } from './packages.ts';

/** The scripts that run inside a guest. */
export const INSIDE = join(import.meta.dirname, 'inside');
/** What decides how the parts of a guest look. */
const SOURCES = ['packages.ts', 'kernel.ts', 'initramfs.ts', 'root-image.ts', 'parts.ts'];

/** Keeps what guests with this kernel are made of: one folder for each state of the sources and release of the system. */
export function guestCacheFolder(kernel: KernelSeries): string {
  const hash = createHash('sha256').update(process.arch).update(readFileSync('/etc/os-release'));
  const inside = readdirSync(INSIDE).toSorted();
  const files = [
    ...SOURCES.map((name) => join(import.meta.dirname, name)),
    ...inside.map((name) => join(INSIDE, name)),
  ];
  for (const file of files) hash.update(file.slice(import.meta.dirname.length)).update(readFileSync(file));
  return join(cacheRoot(), `guest-${kernel}-${hash.digest('hex').slice(0, 12)}`);
}
