import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

const OCI = 'application/vnd.oci.image';
const ARCHITECTURE = process.arch === 'x64' ? 'amd64' : process.arch;

/** What a container of the image starts with: the `config` of the OCI image specification. */
export interface ImageConfig {
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
}

export interface Image {
  /** With its tag, as a pod names it. */
  readonly name: string;
  /** The folder that becomes `/`, all of it root's. */
  readonly root: string;
  readonly config: ImageConfig;
}

/** Writes the image as one OCI archive of one layer. Equal content gives equal bytes. */
export async function writeOciArchive({ name, root, config }: Image, archive: string): Promise<void> {
  mkdirSync(dirname(archive), { recursive: true });
  const folder = mkdtempSync(`${archive}.`);
  try {
    const layerFile = join(folder, 'layer');
    tar(['--directory', root, '--file', layerFile, '.']);
    const layer = await addBlob(folder, layerFile, `${OCI}.layer.v1.tar`);
    const rootfs = { type: 'layers', diff_ids: [layer.digest] };
    const platform = { architecture: ARCHITECTURE, os: 'linux' };
    const configBlob = await addJson(folder, { ...platform, config, rootfs }, `${OCI}.config.v1+json`);
    const manifest = { schemaVersion: 2, mediaType: `${OCI}.manifest.v1+json`, config: configBlob, layers: [layer] };
    const blob = await addJson(folder, manifest, manifest.mediaType);
    // containerd and podman know the image by these names when they load the archive.
    const annotations = { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name };
    const index = {
      schemaVersion: 2,
      mediaType: `${OCI}.index.v1+json`,
      manifests: [{ ...blob, platform, annotations }],
    };
    writeFileSync(join(folder, 'index.json'), JSON.stringify(index));
    writeFileSync(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
    tar(['--directory', folder, '--file', join(folder, 'archive'), 'oci-layout', 'index.json', 'blobs']);
    renameSync(join(folder, 'archive'), archive);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

async function addBlob(folder: string, file: string, mediaType: string): Promise<Descriptor> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  const digest = hash.digest('hex');
  const { size } = statSync(file);
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true });
  renameSync(file, join(folder, 'blobs/sha256', digest));
  return { mediaType, digest: `sha256:${digest}`, size };
}

async function addJson(folder: string, value: object, mediaType: string): Promise<Descriptor> {
  const file = join(folder, 'json');
  writeFileSync(file, JSON.stringify(value));
  return addBlob(folder, file, mediaType);
}

function tar(words: readonly string[]): void {
  const readable = '--mode=u+rwX,go+rX'; // Whatever the umask, and the folder itself is a temporary one.
  const sameBytes = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0', '--format=gnu'];
  execFileSync('tar', ['--create', readable, ...sameBytes, ...words]);
}
