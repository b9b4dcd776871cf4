import { ensureBaseImages } from './base-images.ts';
import { ensureBinaries } from './binaries.ts';
import { CLUSTER_COMMANDS } from './components.ts';
import { ensureDebianPackages } from './debian-packages.ts';

/** What the cache keeps for every cluster. */
export interface Parts {
  /** The folder of the commands. */
  readonly bin: string;
  /** The folder that stands for the `/` of the Debian packages. */
  readonly debian: string;
  /** The archives of the images that every cluster begins with. */
  readonly images: readonly string[];
}

/** Builds what the cache lacks. @throws Error for anybody but root, before it builds. */
export async function ensureParts(): Promise<Parts> {
  if (process.getuid?.() !== 0) throw new Error('a cluster needs root: it makes namespaces, mounts and network links');
  const bin = await ensureBinaries(CLUSTER_COMMANDS);
  const debian = ensureDebianPackages();
  return { bin, debian, images: await ensureBaseImages(bin, debian) };
}
