/**
 * `make images`: the operator's and the node's image as OCI archives, without a container engine, from build/dist and Debian. What is
 * loaded into the pods of others is built against an old glibc.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fillBase, NONROOT } from './images/base.ts';
import { collectLicences } from './images/licences.ts';
import { writeOciArchive } from './images/oci-archive.ts';

const REPOSITORY = resolve(import.meta.dirname, '..');
const DIST = join(REPOSITORY, 'build/dist');
const OUTPUT = join(REPOSITORY, 'build/images');
const PREFIX = 'usr/local';
const NODE = 'libexec/aquifer/node';
/** Where the image has what scripts/portable.sh builds. */
const PORTABLE: Readonly<Record<string, string>> = {
  'bin/aquifer-connector': 'aquifer-connector',
  'lib/aquifer/client/libcuda.so.1': 'libaquifer_client.so',
  'lib/aquifer/client/libnvidia-ml.so.1': 'libaquifer_client.so',
};
const JAVASCRIPT = ['lib/aquifer/js', 'lib/aquifer/node_modules', NODE];

/** Types, their sources and maps: no program reads them. */
const FOR_DEVELOPERS = /\.([cm]?ts|map)$/;
/** Node agents do without the Kubernetes client, more than all other libraries together: kubelet and the operator tell them all. */
const KUBERNETES_CLIENT = /\/node_modules\/@kubernetes(\/|$)/;

interface Contents {
  readonly name: string;
  readonly description: string;
  /** Of build/dist. */
  readonly paths: readonly string[];
  /** What is left out of them. */
  readonly without: readonly RegExp[];
  /** The crates of the native programs and libraries among them. */
  readonly crates: readonly string[];
}

const IMAGES: readonly Contents[] = [
  {
    name: 'operator',
    description: 'Aquifer: allocates vGPUs of pooled GPUs to claims',
    paths: [...JAVASCRIPT, 'share/aquifer/crds'],
    without: [FOR_DEVELOPERS],
    crates: [],
  },
  {
    name: 'node',
    description: 'Aquifer: serves vGPUs on a node, and connects the programs of its pods to theirs',
    paths: [...JAVASCRIPT, 'libexec/aquifer', 'bin/aquifer-connector', 'lib/aquifer/client', 'lib/aquifer/softgpu'],
    without: [FOR_DEVELOPERS, KUBERNETES_CLIENT],
    crates: ['gateway', 'spawner', 'worker', 'connector', 'container-hook', 'keeper', 'client', 'softgpu'].map(
      (name) => `aquifer-${name}`,
    ),
  },
];

const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as {
  readonly version: string;
};
const portable = execFileSync(join(REPOSITORY, 'scripts/portable.sh'), {
  cwd: REPOSITORY,
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
}).trim();
const revision = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: REPOSITORY, encoding: 'utf8' }).trim();

for (const contents of IMAGES) {
  const name = `aquifer.dev/${contents.name}:${version}`;
  const archive = join(OUTPUT, `${contents.name}.tar`);
  const root = mkdtempSync(join(tmpdir(), 'aq-image-'));
  try {
    fill(root, contents);
    await writeOciArchive({ name, root, config: configOf(contents) }, archive);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  console.log(`${archive}  ${name}  ${Math.round(statSync(archive).size / 2 ** 20)} MiB`);
}

function fill(root: string, { paths, without, crates }: Contents): void {
  fillBase(root);
  const options = {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path: string) => !without.some((left) => left.test(path)),
  };
  for (const path of paths) cpSync(join(DIST, path), join(root, PREFIX, path), options);
  for (const [path, built] of Object.entries(PORTABLE)) {
    if (paths.some((taken) => path.startsWith(taken)))
      cpSync(join(REPOSITORY, portable, built), join(root, PREFIX, path));
  }
  execFileSync('strip', [join(root, PREFIX, NODE)]); // Its symbols are a fifth of it.
  collectLicences(join(root, 'usr/share/doc/aquifer'), crates);
}

/** The chart names what runs; without a name it is the command line. */
function configOf({ name, description }: Contents): object {
  const label = (key: string, value: string): readonly [string, string] => [`org.opencontainers.image.${key}`, value];
  return {
    Entrypoint: [`/${PREFIX}/${NODE}`, '--disable-warning=ExperimentalWarning'],
    Cmd: [`/${PREFIX}/lib/aquifer/js/cli/main.js`, 'version'],
    Env: [`PATH=/${PREFIX}/bin:/usr/bin:/bin`],
    User: `${NONROOT}:${NONROOT}`,
    WorkingDir: '/',
    Labels: Object.fromEntries([
      label('title', `aquifer-${name}`),
      label('description', description),
      label('version', version),
      label('revision', revision),
      label('licenses', 'Apache-2.0'),
    ]),
  };
}
