import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unpackDebianPackages } from '../../scripts/images/debian-packages.ts';
import { INSIDE } from './cache.ts';
import { ROOT_PACKAGES } from './packages.ts';

const FOLDERS = [
  'proc',
  'sys',
  'dev',
  'run',
  'tmp',
  'root',
  'etc/cdi',
  'etc/containers',
  'etc/dropbear',
  'etc/systemd/system',
  'var/lib/containers',
  'var/tmp',
];
/** What no guest reads. */
const SYSTEMD_UNITS = /^systemd-(journald|udevd|udev-trigger)/;
const LEFT_OUT = ['doc', 'man', 'locale', 'bash-completion', 'zsh', 'fish', 'lintian', 'info'];

/** Fills a folder with the system of a guest, from Debian packages and the scripts in `inside`. */
export function fillRoot(root: string): void {
  unpackDebianPackages(ROOT_PACKAGES, root);
  for (const name of LEFT_OUT) rmSync(join(root, 'usr/share', name), { recursive: true, force: true });
  rmSync(join(root, 'usr/lib/x86_64-linux-gnu/gconv'), { recursive: true, force: true });
  for (const folder of [...FOLDERS, 'usr/local']) mkdirSync(join(root, folder), { recursive: true });
  linkApplets(root);
  install(root, 'init', 'usr/sbin');
  install(root, 'control-channel', 'usr/sbin');
  install(root, 'setup', 'usr/sbin');
  install(root, 'containers.conf', 'etc/containers');
  install(root, 'storage.conf', 'etc/containers');
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\n');
  writeFileSync(join(root, 'etc/shells'), '/bin/sh\n');
  writeFileSync(join(root, 'etc/hosts'), '127.0.0.1 localhost\n');
  writeFileSync(join(root, 'etc/resolv.conf'), '');
  keepOfSystemd(root);
  execFileSync('ldconfig', ['-r', root]);
}

function linkApplets(root: string): void {
  const busybox = join(root, 'bin/busybox');
  const applets = execFileSync(busybox, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  const isThere = (name: string): boolean =>
    ['bin', 'sbin'].some((folder) => existsSync(join(root, 'usr', folder, name)));
  for (const name of applets.filter((applet) => !isThere(applet))) symlinkSync('busybox', join(root, 'usr/bin', name));
}

/** Of systemd's own units only those that every unit relies on: under emulation each one that starts costs a second. */
function keepOfSystemd(root: string): void {
  const units = join(root, 'usr/lib/systemd/system');
  for (const folder of readdirSync(units).filter((name) => name.endsWith('.target.wants')))
    for (const name of readdirSync(join(units, folder)))
      if (!SYSTEMD_UNITS.test(name)) rmSync(join(units, folder, name));
  for (const unread of ['systemd/system-generators', 'udev/hwdb.d'])
    rmSync(join(root, 'usr/lib', unread), { recursive: true });
  for (const unit of ['setup.service', 'control-channel.service']) install(root, unit, 'usr/lib/systemd/system');
  symlinkSync('../control-channel.service', join(units, 'multi-user.target.wants/control-channel.service'));
  // Without it this would be a first boot, at which systemd asks and enables.
  writeFileSync(join(root, 'etc/machine-id'), `${'a'.repeat(32)}\n`);
}

function install(root: string, name: string, folder: string): void {
  copyFileSync(join(INSIDE, name), join(root, folder, name));
}

/** Writes the folder as a file system that is never written to. Everything in it is root's. */
export function writeDisk(root: string, image: string): void {
  const [kibibytes = ''] = execFileSync('du', ['--summarize', '--block-size=1K', root], { encoding: 'utf8' }).split(
    '\t',
  );
  const size = Math.ceil(Number(kibibytes) * 1.1) + 8192;
  const features = '^has_journal,^resize_inode';
  const words = ['-q', '-q', '-F', '-O', features, '-m', '0', '-E', 'root_owner=0:0', '-d', root, image, `${size}K`];
  execFileSync('mkfs.ext4', words, { env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` } });
}
