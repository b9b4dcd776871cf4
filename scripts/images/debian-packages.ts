import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MERGED = ['bin', 'lib', 'lib64', 'sbin'];

/** Unpacks packages of this machine's Debian or Ubuntu into a folder. Nothing is installed, and none of their scripts runs. */
export function unpackDebianPackages(packages: readonly string[], root: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'aq-deb-'));
  try {
    download(packages, folder);
    // /lib and the like are links into /usr on every machine; packages of some releases still name them.
    for (const name of MERGED) {
      mkdirSync(join(root, 'usr', name), { recursive: true });
      execFileSync('ln', ['-sfn', `usr/${name}`, join(root, name)]);
    }
    const archives = readdirSync(folder).filter((file) => file.endsWith('.deb'));
    for (const archive of archives) {
      const script =
        'dpkg --fsys-tarfile "$1" | tar --extract --keep-directory-symlink --no-same-owner --directory "$2"';
      execFileSync('bash', ['-o', 'pipefail', '-ec', script, 'unpack', join(folder, archive), root]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function download(packages: readonly string[], folder: string): void {
  const get = (): void =>
    // Root's apt hands a download to a user of its own, who may not write here: it says so, and goes on as root.
    void execFileSync('apt-get', ['download', '--quiet', ...packages], {
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
