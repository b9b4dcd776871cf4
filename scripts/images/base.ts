import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { unpackDebianPackages } from './debian-packages.ts';

/** What Node and the native programs are linked with. */
const PACKAGES = ['base-files', 'libc6', 'libgcc-s1', 'libstdc++6'];
/** Of whoever needs no more: the user that images start with. */
export const NONROOT = 65532;

const PASSWD = `root:x:0:0:root:/:/sbin/nologin\nnonroot:x:${NONROOT}:${NONROOT}:nonroot:/:/sbin/nologin\n`;
const GROUP = `root:x:0:\nnonroot:x:${NONROOT}:\n`;

/** Fills a folder with the least of a Debian on which the programs run: the C and C++ libraries, no shell, no package manager. */
export function fillBase(root: string): void {
  const debian = mkdtempSync(join(tmpdir(), 'aq-base-'));
  try {
    unpackDebianPackages(PACKAGES, debian);
    // A package that shares the licence of another links to its folder: libgcc-s1 → gcc-12-base.
    unpackDebianPackages(licencesElsewhere(debian), debian);
    copy(debian, root, IS_LIBRARY);
    copy(debian, root, IS_LICENCE);
    mkdirSync(join(root, 'etc'));
    cpSync(join(debian, 'usr/lib/os-release'), join(root, 'etc/os-release'));
  } finally {
    rmSync(debian, { recursive: true, force: true });
  }
  writeFileSync(join(root, 'etc/passwd'), PASSWD);
  writeFileSync(join(root, 'etc/group'), GROUP);
  writeFileSync(join(root, 'etc/nsswitch.conf'), 'passwd: files\ngroup: files\nhosts: files dns\n');
  for (const name of ['lib', 'lib64']) symlinkSync(`usr/${name}`, join(root, name));
  for (const folder of ['proc', 'sys', 'dev', 'run', 'var', 'tmp']) mkdirSync(join(root, folder));
  chmodSync(join(root, 'tmp'), 0o1777);
}

/** Without the character sets, the auditors and what serves debuggers. */
const IS_LIBRARY = /^usr\/lib(64)?\/([\w-]+\/)?[^/]+\.so(\.\d+)*$/;
const IS_LICENCE = /^usr\/share\/(doc\/[^/]+(\/copyright)?|common-licenses\/.*)$/;

function licencesElsewhere(debian: string): readonly string[] {
  const folder = join(debian, 'usr/share/doc');
  const links = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isSymbolicLink());
  return [...new Set(links.map(({ name }) => readlinkSync(join(folder, name))))];
}

function copy(from: string, to: string, chosen: RegExp): void {
  const entries = readdirSync(join(from, 'usr'), { recursive: true, withFileTypes: true });
  for (const entry of entries.filter((one) => !one.isDirectory())) {
    const file = relative(from, join(entry.parentPath, entry.name));
    if (!chosen.test(file)) continue;
    mkdirSync(dirname(join(to, file)), { recursive: true });
    cpSync(join(from, file), join(to, file), { recursive: true, verbatimSymlinks: true });
  }
}
