/**
 * `make images`: the images of operator, node, guests and examples as OCI archives, without a container engine, from build/dist
 * and Debian; with names as arguments, these alone. What is loaded into the programs of others is built against an old glibc.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { fillBase, NONROOT } from './images/base.ts';
import { collectLicences } from './images/licences.ts';
import { writeOciArchive } from './images/oci-archive.ts';
import { compileExample, KERNELS } from '../test/support/example-programs.ts';

const REPOSITORY = resolve(import.meta.dirname, '..');
const DIST = join(REPOSITORY, 'build/dist');
const OUTPUT = join(REPOSITORY, 'build/images');
const BUNDLE = join(OUTPUT, 'aquifer-guest.tar.gz');
const PREFIX = 'usr/local';
const DOC = 'usr/share/doc/aquifer';
const NODE = 'libexec/aquifer/node';
/** Where the image has what scripts/portable.sh builds. */
const PORTABLE: Readonly<Record<string, string>> = {
  'lib/aquifer/client/libcuda.so.1': 'libaquifer_client.so',
  'lib/aquifer/client/libnvidia-ml.so.1': 'libaquifer_client.so',
};
const JAVASCRIPT = ['lib/aquifer/js', 'lib/aquifer/node_modules', NODE];

/** What a guest needs of the product. */
const GUEST = [
  'bin/aquifer-connector',
  'libexec/aquifer/container-hook',
  'lib/aquifer/client',
  'share/aquifer/systemd/aquifer-connector.service',
  'share/aquifer/examples/guest',
];

/** Types, their sources and maps: no program reads them. */
const FOR_DEVELOPERS = /\.([cm]?ts|map)$/;
/** Node agents do without the Kubernetes client, more than all other libraries together: kubelet and the operator tell them all. */
const KUBERNETES_CLIENT = /\/node_modules\/@kubernetes(\/|$)/;

interface Contents {
  readonly name: string;
  readonly description: string;
  /** What runs when a pod names nothing. */
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  /** Puts what it holds into an empty folder, or on top of a Debian. */
  readonly fill: (root: string) => void;
  /** @default NONROOT */
  readonly user?: number;
}

interface Product {
  /** Of build/dist. */
  readonly paths: readonly string[];
  /** What is left out of them. */
  readonly without: readonly RegExp[];
  /** The crates of the native programs and libraries among them. */
  readonly crates: readonly string[];
}

/** The chart names what runs in these; without a name it is the command line. */
const COMMAND_LINE = {
  entrypoint: [`/${PREFIX}/${NODE}`, '--disable-warning=ExperimentalWarning'],
  command: [`/${PREFIX}/lib/aquifer/js/cli/main.js`, 'version'],
};
const IMAGES: readonly Contents[] = [
  {
    name: 'operator',
    description: 'Aquifer: allocates vGPUs of pooled GPUs to claims',
    ...COMMAND_LINE,
    fill: product({ paths: [...JAVASCRIPT, 'share/aquifer/crds'], without: [FOR_DEVELOPERS], crates: [] }),
  },
  {
    name: 'node',
    description: 'Aquifer: serves vGPUs on a node, and connects the programs of its pods to theirs',
    ...COMMAND_LINE,
    fill: product({
      paths: [...JAVASCRIPT, 'libexec/aquifer', 'bin/aquifer-connector', 'lib/aquifer/client', 'lib/aquifer/softgpu'],
      without: [FOR_DEVELOPERS, KUBERNETES_CLIENT],
      crates: ['gateway', 'spawner', 'worker', 'connector', 'container-hook', 'keeper', 'client', 'softgpu'].map(
        (name) => `aquifer-${name}`,
      ),
    }),
  },
  {
    name: 'guest',
    description: 'Aquifer: gives the containers of a KVM guest their parts of a vGPU',
    // What containers have mounted is the guest's: this image puts it there.
    entrypoint: [`/${PREFIX}/bin/aquifer-connector`],
    command: ['guest', '--install', '/opt/aquifer'],
    user: 0,
    fill: guest,
  },
  {
    name: 'examples',
    description: 'Ordinary CUDA programs, to try Aquifer with: nothing of it is in here',
    entrypoint: [],
    command: [`/${PREFIX}/bin/matmul`, `/${PREFIX}/share/kernels`],
    fill: examples,
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

const wanted = process.argv.slice(2);
for (const contents of IMAGES.filter(({ name: one }) => wanted.length === 0 || wanted.includes(one))) {
  const name = `aquifer.dev/${contents.name}:${version}`;
  const archive = join(OUTPUT, `${contents.name}.tar`);
  const root = mkdtempSync(join(tmpdir(), 'aq-image-'));
  try {
    contents.fill(root);
    await writeOciArchive({ name, root, config: configOf(contents) }, archive);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  console.log(`${archive}  ${name}  ${Math.round(statSync(archive).size / 2 ** 20)} MiB`);
}

function product({ paths, without, crates }: Product): (root: string) => void {
  const filter = (path: string): boolean => !without.some((left) => left.test(path));
  return (root) => {
    fillBase(root);
    install(root, paths, filter);
    execFileSync('strip', [join(root, PREFIX, NODE)]); // Its symbols are a fifth of it.
    collectLicences(join(root, DOC), crates);
  };
}

function install(root: string, paths: readonly string[], filter: (path: string) => boolean = () => true): void {
  for (const path of paths) {
    cpSync(join(DIST, path), join(root, PREFIX, path), { recursive: true, verbatimSymlinks: true, filter });
  }
  for (const [path, built] of Object.entries(PORTABLE)) {
    if (paths.some((taken) => path.startsWith(taken)))
      cpSync(join(REPOSITORY, portable, built), join(root, PREFIX, path));
  }
}

/** The image, and the same to be unpacked in a guest's /usr/local. */
function guest(root: string): void {
  install(root, GUEST);
  const prefix = join(root, PREFIX);
  const always = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0'];
  mkdirSync(OUTPUT, { recursive: true });
  // Files alone: the guest's own folders keep their modes.
  const files = readdirSync(prefix, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(prefix, join(entry.parentPath, entry.name)));
  execFileSync('tar', [...always, '--gzip', '--create', '--file', BUNDLE, '--directory', prefix, ...files]);
  console.log(BUNDLE);
  collectLicences(join(root, DOC), ['aquifer-connector', 'aquifer-container-hook', 'aquifer-client']);
}

function examples(root: string): void {
  fillBase(root);
  for (const name of ['matmul', 'histogram', 'training'] as const) compileExample(name, join(root, PREFIX, 'bin'));
  cpSync(KERNELS, join(root, PREFIX, 'share/kernels'), { recursive: true });
  mkdirSync(join(root, DOC), { recursive: true });
  cpSync(join(REPOSITORY, 'LICENSE'), join(root, DOC, 'LICENSE'));
}

function configOf({ name, description, entrypoint, command, user = NONROOT }: Contents): object {
  const label = (key: string, value: string): readonly [string, string] => [`org.opencontainers.image.${key}`, value];
  return {
    Entrypoint: entrypoint,
    Cmd: command,
    Env: [`PATH=/${PREFIX}/bin:/usr/bin:/bin`],
    User: `${user}:${user}`,
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
