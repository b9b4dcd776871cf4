import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fillBase } from '../../scripts/images/base.ts';
import { unpackDebianPackages } from '../../scripts/images/debian-packages.ts';
import { guestCacheFolder, INSIDE } from './cache.ts';
import { cpioArchive, file, folder, link, program } from './initramfs.ts';
import { bootableKernel, modulesInOrder } from './kernel.ts';
import { KERNEL_SERIES, kernelPackage, type KernelSeries } from './packages.ts';
import { fillRoot, writeDisk } from './root-image.ts';

/** In the order in which they are loaded; vsock is there for whoever plugs in a device. */
const MODULES = ['virtio_pci', 'virtio_blk', 'virtio_net', 'overlay', 'virtio_rng', 'vmw_vsock_virtio_transport'];

/** What guests are made of: files that all of them read and none writes. */
export interface GuestParts {
  readonly kernel: string;
  readonly initramfs: string;
  readonly root: string;
  /** A folder with the least of a Debian, for the containers. */
  readonly containerBase: string;
  /** The static busybox. */
  readonly busybox: string;
}

/** Builds what the cache lacks. @throws Error for anybody but root, before it builds. */
export function ensureGuestParts(series: KernelSeries = KERNEL_SERIES[0]): GuestParts {
  if (process.getuid?.() !== 0) throw new Error('a guest needs root: it makes network namespaces and taps');
  const cache = guestCacheFolder(series);
  if (!existsSync(cache)) build(series, cache);
  const part = (name: string): string => join(cache, name);
  return {
    kernel: part('kernel'),
    initramfs: part('initramfs'),
    root: part('root.img'),
    containerBase: part('container-base'),
    busybox: part('busybox'),
  };
}

function build(series: KernelSeries, cache: string): void {
  const name = kernelPackage(series);
  console.error(`building a guest from Debian packages: ${name}, crun, podman`);
  mkdirSync(dirname(cache), { recursive: true });
  const work = mkdtempSync(join(dirname(cache), 'build-'));
  try {
    const [root, kernel, parts] = [join(work, 'root'), join(work, 'kernel'), join(work, 'parts')];
    mkdirSync(parts);
    fillRoot(root);
    unpackDebianPackages([name], kernel);
    const busybox = readFileSync(join(root, 'bin/busybox'));
    writeFileSync(join(parts, 'busybox'), busybox, { mode: 0o755 });
    writeKernel(kernel, busybox, parts);
    writeDisk(root, join(parts, 'root.img'));
    mkdirSync(join(parts, 'container-base'));
    fillBase(join(parts, 'container-base'));
    if (!existsSync(cache)) renameSync(parts, cache);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function writeKernel(unpacked: string, busybox: Buffer, parts: string): void {
  const boot = join(unpacked, 'boot');
  const image = readdirSync(boot).find((name) => name.startsWith('vmlinuz-'));
  if (image === undefined) throw new Error('the package of the kernel holds none');
  writeFileSync(join(parts, 'kernel'), bootableKernel(readFileSync(join(boot, image))));
  const modules = modulesInOrder(join(unpacked, 'usr/lib/modules'), MODULES);
  const archive = cpioArchive([
    ...['bin', 'lib', 'dev', 'proc', 'ro', 'rw', 'new'].map(folder),
    program('init', readFileSync(join(INSIDE, 'initramfs-init'))),
    program('bin/busybox', busybox),
    link('bin/sh', 'busybox'),
    file('modules', modules.map((module) => `${module.file}\n`).join('')),
    ...modules.map((module) => file(`lib/${module.file}`, module.content)),
  ]);
  writeFileSync(join(parts, 'initramfs'), archive);
}
