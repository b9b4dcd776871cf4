import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MERGED = ['bin', 'lib', 'lib64', 'sbin'];

/**
 * Unpacks packages of this machine's Debian or Ubuntu into a folder. Nothing is installed, and none of their scripts runs.
 * With settings apt may look elsewhere than in the machine's own lists.
 */
export function unpackDebianPackages(
  packages: readonly string[],
  root: string,
  settings: readonly string[] = [],
): void {
  const folder = mkdtempSync(join(tmpdir(), 'aq-deb-'));
  try {
    download(packages, folder, settings);
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

function download(packages: readonly string[], folder: string, settings: readonly string[]): void {
  const apt = (...words: readonly string[]): void =>
    // Root's apt hands a download to a user of its own, who may not write here: it says so, and goes on as root.
    void execFileSync('apt-get', [...settings, '--quiet', ...words], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  try {
    apt('download', ...packages);
  } catch {
    try {
      apt('update');
    } catch {
      // Of some source, which need not be the one that has them: the next line will say.
    }
    apt('download', ...packages);
  }
}
