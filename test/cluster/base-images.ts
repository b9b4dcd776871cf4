import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { writeOciArchive } from '../../scripts/images/oci-archive.ts';
import { cacheFolder } from './cache.ts';
import { PAUSE_IMAGE } from './node-files.ts';

/** A shell and its tools, for pods of tests. */
export const BUSYBOX_IMAGE = 'aquifer.test/busybox:1';

/** Makes the images that every cluster begins with, once. @returns the archives. */
export async function ensureBaseImages(bin: string, debian: string): Promise<readonly string[]> {
  const pause = join(cacheFolder(), 'images/pause.tar');
  if (!existsSync(pause)) {
    await fromFolder((root) => {
      copyFileSync(join(bin, 'pause'), join(root, 'pause'));
      return { name: PAUSE_IMAGE, root, config: { Entrypoint: ['/pause'], User: '65535:65535' } };
    }, pause);
  }
  const busybox = join(cacheFolder(), 'images/busybox.tar');
  if (!existsSync(busybox)) {
    await fromFolder((root) => {
      fillBusybox(root, join(debian, 'bin/busybox'));
      return { name: BUSYBOX_IMAGE, root, config: { Cmd: ['/bin/sh'], Env: ['PATH=/bin'] } };
    }, busybox);
  }
  return [pause, busybox];
}

async function fromFolder(
  fill: (root: string) => Parameters<typeof writeOciArchive>[0],
  archive: string,
): Promise<void> {
  const root = mkdtempSync(join(cacheFolder(), 'image-'));
  try {
    await writeOciArchive(fill(root), archive);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function fillBusybox(root: string, program: string): void {
  for (const folder of ['bin', 'etc', 'tmp']) mkdirSync(join(root, folder));
  chmodSync(join(root, 'tmp'), 0o1777);
  copyFileSync(program, join(root, 'bin/busybox'));
  const applets = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  for (const applet of applets.filter((name) => name !== 'busybox')) symlinkSync('busybox', join(root, 'bin', applet));
}
