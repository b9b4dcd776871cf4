import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

const REPOSITORY = join(import.meta.dirname, '../..');
const IS_LICENCE = /^(licen[cs]e|copying|notice|unlicense)/i;

/** Puts the licences of Aquifer, of Node and of every crate that the programs are linked with into a folder. */
export function collectLicences(folder: string, programs: readonly string[]): void {
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(REPOSITORY, 'LICENSE'), join(folder, 'LICENSE'));
  mkdirSync(join(folder, 'node'));
  copyFileSync(nodeLicence(), join(folder, 'node/LICENSE'));
  for (const { name, version, folder: source, license } of linkedCrates(programs)) {
    const files = readdirSync(source).filter((file) => IS_LICENCE.test(file));
    const target = join(folder, 'crates', `${name}-${version}`);
    mkdirSync(target, { recursive: true });
    if (files.length === 0) writeFileSync(join(target, 'LICENSE'), choiceOfApache(`${name} ${version}`, license));
    for (const file of files) copyFileSync(join(source, file), join(target, file));
  }
}

/** Some crates name their licences and bring no text. Of these one is always that of Aquifer, whose text is there. */
function choiceOfApache(crate: string, license: string): string {
  if (!license.includes('Apache-2.0')) throw new Error(`${crate} (${license}) brings no licence`);
  return `${crate} is licensed as: ${license}\nIt brings no text. That of Apache-2.0 is ../../LICENSE.\n`;
}

/** The package `node` installs the program alone; the licence is in the package that the program comes from. */
function nodeLicence(): string {
  const version = process.version.slice(1);
  const cache =
    process.env['AQUIFER_CACHE'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'aquifer');
  const licence = join(cache, `node-${version}`, 'LICENSE');
  if (existsSync(licence)) return licence;
  const folder = dirname(licence);
  mkdirSync(folder, { recursive: true });
  const words = ['pack', `node-linux-${process.arch}@${version}`, '--silent'];
  const archive = join(folder, execFileSync('npm', words, { cwd: folder, encoding: 'utf8' }).trim());
  execFileSync('tar', ['--extract', '--file', archive, '--directory', folder, 'package/LICENSE']);
  renameSync(join(folder, 'package/LICENSE'), licence);
  for (const left of [archive, join(folder, 'package')]) rmSync(left, { recursive: true });
  return licence;
}

interface Crate {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly folder: string;
}

interface Metadata {
  readonly packages: readonly {
    readonly id: string;
    readonly name: string;
    readonly version: string;
    readonly license: string | null;
    readonly source: string | null;
    readonly manifest_path: string;
  }[];
  readonly resolve: {
    readonly nodes: readonly {
      readonly id: string;
      readonly deps: readonly {
        readonly pkg: string;
        readonly dep_kinds: readonly { readonly kind: string | null }[];
      }[];
    }[];
  };
}

/** Those that come from elsewhere, by whatever path; not what only builds or tests. */
function linkedCrates(programs: readonly string[]): readonly Crate[] {
  const target = execFileSync('rustc', ['--print', 'host-tuple'], { encoding: 'utf8' }).trim();
  const manifest = join(REPOSITORY, 'native/Cargo.toml');
  const words = [
    'metadata',
    '--format-version=1',
    '--locked',
    '--filter-platform',
    target,
    '--manifest-path',
    manifest,
  ];
  const text = execFileSync('cargo', words, { encoding: 'utf8', maxBuffer: 2 ** 28 });
  const { packages, resolve } = JSON.parse(text) as Metadata;
  const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));
  const waiting = packages.filter(({ name, source }) => source === null && programs.includes(name)).map(({ id }) => id);
  const reached = new Set<string>();
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (reached.has(id)) continue;
    reached.add(id);
    const linked = nodes.get(id)?.deps.filter(({ dep_kinds }) => dep_kinds.some(({ kind }) => kind === null)) ?? [];
    waiting.push(...linked.map(({ pkg }) => pkg));
  }
  return packages
    .filter(({ id, source }) => source !== null && reached.has(id))
    .map(({ name, version, license, manifest_path }) => {
      return { name, version, license: license ?? 'no licence named', folder: dirname(manifest_path) };
    });
}
