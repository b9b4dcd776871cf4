import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { writeOciArchive } from '../../scripts/images/oci-archive.ts';
import { compileExample, compileTestProgram, KERNELS } from '../support/example-programs.ts';
import { PREFIX } from '../support/serve.ts';
import { compileSessionProgram } from '../support/session-program.ts';
import type { GuestParts } from './parts.ts';
import { writeDisk } from './root-image.ts';

const BENCH = join(PREFIX, '../../native/target/release/aquifer-bench');
/** What a guest's owner installs. */
const PRODUCT = [
  'bin/aquifer-connector',
  'libexec/aquifer/container-hook',
  'lib/aquifer/client',
  'share/aquifer/systemd/aquifer-connector.service',
];
/** The image that podman loads. */
export const PROGRAMS_IMAGE = 'aquifer.test/programs:1';
/** Where the disk has it, and its root for whoever needs no image. */
export const PROGRAMS_ARCHIVE = '/usr/local/share/programs.tar';
export const PROGRAMS_ROOT = '/usr/local/share/programs';
/** The program of the data plane's benchmark. */
export const BENCH_PROGRAM = '/usr/local/libexec/aquifer-bench';
/** Where containers have the kernels. */
export const CONTAINER_KERNELS = '/usr/local/share/kernels';

/** Of the base of images that hold more than C programs: podman unpacks all of it, and under emulation every MiB counts. */
const UNUSED = /\/usr\/share\/|\/libstdc|\/libmvec/;

/**
 * Writes the disk that is /usr/local in every guest: the product as it was built, and a container's root with ordinary CUDA programs.
 * A guest takes it along when it migrates, as both sides read the same file: the next build is for the next guests.
 * `more` are programs that are put into its libexec.
 */
export async function writeProductDisk(parts: GuestParts, image: string, more: readonly string[] = []): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'aq-product-'));
  try {
    const disk = join(folder, 'disk');
    for (const path of PRODUCT) cpSync(join(PREFIX, path), join(disk, path), { recursive: true });
    for (const program of [BENCH, ...more]) cpSync(program, join(disk, 'libexec', basename(program)));
    const root = join(disk, 'share/programs');
    fillContainer(parts, root);
    await writeOciArchive(
      { name: PROGRAMS_IMAGE, root, config: { Env: ['PATH=/usr/local/bin:/bin'] } },
      join(disk, 'share/programs.tar'),
    );
    writeDisk(disk, image);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function fillContainer({ containerBase, busybox }: GuestParts, root: string): void {
  const filter = (path: string): boolean => !UNUSED.test(path);
  cpSync(containerBase, root, { recursive: true, verbatimSymlinks: true, filter });
  const bin = join(root, 'usr/local/bin');
  mkdirSync(bin, { recursive: true });
  for (const name of ['matmul', 'histogram', 'training'] as const) compileExample(name, bin);
  compileSessionProgram(bin);
  compileTestProgram('hoard', bin);
  cpSync(KERNELS, join(root, CONTAINER_KERNELS), { recursive: true });
  copyFileSync(busybox, join(bin, 'busybox'));
  chmodSync(join(bin, 'busybox'), 0o755);
  for (const applet of ['sh', 'cat', 'sleep', 'ls', 'env', 'id', 'true']) symlinkSync('busybox', join(bin, applet));
  mkdirSync(join(root, 'run/aquifer'), { recursive: true });
}
