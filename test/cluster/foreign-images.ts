import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fillBase } from '../../scripts/images/base.ts';
import { writeOciArchive } from '../../scripts/images/oci-archive.ts';
import { compileExample, KERNELS } from '../support/example-programs.ts';
import { ensureRedHatLayout } from './red-hat-layout.ts';

const COMPAT = '/usr/local/cuda/compat';
const OWN = '/opt/app/lib';

/** What distinguishes an image that knows nothing of us; each has the program `/program/matmul` and its kernels. */
interface Contents {
  /** Fills the folder with a C library, where the distribution has it. */
  readonly layout: (root: string) => void;
  /** Of `ldconfig --format`; without it the image has no loader cache. It names another libcuda, as cuda-compat does. */
  readonly cacheWithCompat?: 'new' | 'compat';
  /** The program needs a library that is found by LD_LIBRARY_PATH alone. */
  readonly ownLibraries?: boolean;
}

const CONTENTS = {
  debian: { layout: fillBase },
  'red-hat': { layout: fillRedHat },
  'own-libraries': { layout: fillBase, ownLibraries: true },
  'debian-compat': { layout: fillBase, cacheWithCompat: 'new' },
  'red-hat-compat': { layout: fillRedHat, cacheWithCompat: 'compat' },
} as const satisfies Record<string, Contents>;

export type ForeignImage = keyof typeof CONTENTS;

export const FOREIGN_IMAGES = Object.keys(CONTENTS) as readonly ForeignImage[];

const imageName = (name: ForeignImage): string => `aquifer.test/${name}:1`;

/** A pod that runs the program of the image on `cpu-1`. */
export const foreignPod = (image: ForeignImage, { asks = true, readOnlyRoot = true } = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: [image, asks ? 'asks' : 'asks-not', readOnlyRoot ? 'read-only' : 'writable'].join('-'),
    annotations: asks ? { 'aquifer.dev/memory': '1Gi', 'aquifer.dev/compute': '10' } : {},
  },
  spec: {
    restartPolicy: 'Never',
    nodeSelector: { 'kubernetes.io/hostname': 'cpu-1' },
    containers: [
      {
        name: 'main',
        image: imageName(image),
        imagePullPolicy: 'Never',
        command: ['/program/matmul', '/kernels', '64'],
        securityContext: { runAsUser: 1000, readOnlyRootFilesystem: readOnlyRoot },
      },
    ],
  },
});

/** Writes the image as an archive below the folder. @returns its path. */
export async function writeForeignImage(name: ForeignImage, folder: string): Promise<string> {
  const contents: Contents = CONTENTS[name];
  const root = mkdtempSync(join(folder, `${name}-`));
  const archive = join(folder, `${name}.tar`);
  try {
    contents.layout(root);
    cpSync(KERNELS, join(root, 'kernels'), { recursive: true });
    compileExample('matmul', join(root, 'program'), contents.ownLibraries ? [ownLibrary(root)] : []);
    if (contents.cacheWithCompat) nameCompat(root, contents.cacheWithCompat);
    const config = contents.ownLibraries ? { Env: [`LD_LIBRARY_PATH=${OWN}`] } : {};
    await writeOciArchive({ name: imageName(name), root, config }, archive);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  return archive;
}

function fillRedHat(root: string): void {
  cpSync(ensureRedHatLayout(), root, { recursive: true, verbatimSymlinks: true });
  mkdirSync(join(root, 'etc'), { recursive: true });
  for (const folder of ['proc', 'sys', 'dev', 'run', 'var', 'tmp']) mkdirSync(join(root, folder));
}

/** As in NVIDIA's images: links that lead to a file with a version, in a folder that ldconfig is told of. */
function nameCompat(root: string, format: string): void {
  const folder = join(root, COMPAT);
  // Whoever loads it is told so by name: it has only this function.
  compileLibrary('int cuInit(unsigned flags) { return 803 + (int)flags; }', {
    file: join(folder, 'libcuda.so.999.1'),
    soname: 'libcuda.so.1',
  });
  symlinkSync('libcuda.so.999.1', join(folder, 'libcuda.so.1'));
  symlinkSync('libcuda.so.1', join(folder, 'libcuda.so'));
  writeFileSync(join(root, 'etc/ld.so.conf'), `${COMPAT}\n`);
  execFileSync('ldconfig', ['-r', root, '-c', format]);
}

function ownLibrary(root: string): string {
  const file = join(root, OWN, 'libown.so');
  return compileLibrary('int own(void) { return 1; }', { file, soname: 'libown.so' });
}

interface Library {
  readonly file: string;
  readonly soname: string;
}

function compileLibrary(source: string, { file, soname }: Library): string {
  mkdirSync(dirname(file), { recursive: true });
  execFileSync('cc', ['-shared', '-fPIC', `-Wl,-soname,${soname}`, '-o', file, '-x', 'c', '-'], { input: source });
  return file;
}
