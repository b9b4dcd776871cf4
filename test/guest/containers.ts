import type { Guest } from './guest.ts';
import { startJob, type Job } from './job.ts';
import { PROGRAMS_ARCHIVE, PROGRAMS_IMAGE, PROGRAMS_ROOT } from './product-disk.ts';

export const RUNTIMES = ['crun', 'podman'] as const;
export type Runtime = (typeof RUNTIMES)[number];

export interface NestedContainer {
  /** Of no other container of the guest, ended or not. */
  readonly name: string;
  readonly runtime: Runtime;
  readonly command: readonly string[];
  /** Its CDI device, without the kind: a claim of the guest, or a share of it. */
  readonly device?: string;
  readonly mounts?: readonly Mount[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A file or folder of the guest in the container. */
export interface Mount {
  readonly source: string;
  readonly destination: string;
}

const LOADED = '/run/programs-loaded';
const PODMAN_MS = 300_000;
const BUNDLES = '/run/bundles';
const NAMESPACES = ['pid', 'ipc', 'uts', 'mount', 'network', 'cgroup'];
const quote = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`;

/** Starts a container of the programs' image, without any network of its own. */
export async function startContainer(guest: Guest, container: NestedContainer): Promise<Job> {
  const command =
    container.runtime === 'crun' ? await crunCommand(guest, container) : await podmanCommand(guest, container);
  return startJob(guest, container.name, command);
}

async function podmanCommand(guest: Guest, container: NestedContainer): Promise<string> {
  const { name, command, device, mounts = [], env = {} } = container;
  // A podman that only looks takes seconds under emulation.
  await guest.exec(
    `[ -e ${LOADED} ] || { podman load --quiet --input ${PROGRAMS_ARCHIVE} && touch ${LOADED}; }`,
    PODMAN_MS,
  );
  const words = [
    'podman',
    'run',
    '--rm',
    '--network=none',
    `--name=${name}`,
    ...(device === undefined ? [] : [`--device=aquifer.dev/vgpu=${device}`]),
    ...mounts.flatMap(({ source, destination }) => ['--volume', `${source}:${destination}`]),
    ...Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
    PROGRAMS_IMAGE,
    ...command,
  ];
  return `exec ${words.map(quote).join(' ')}`;
}

/** crun takes a bundle, which others would make from an image: a root that the container may write to, and a specification. */
async function crunCommand(guest: Guest, container: NestedContainer): Promise<string> {
  const bundle = `${BUNDLES}/${container.name}`;
  await guest.write(`${bundle}/config.json`, JSON.stringify(specification(container)));
  if (container.device !== undefined) {
    await guest.exec(`aquifer-connector oci ${container.device} ${bundle}/config.json`);
  }
  const layers = `lowerdir=${PROGRAMS_ROOT},upperdir=${bundle}/upper,workdir=${bundle}/work`;
  await guest.exec(
    `cd ${bundle} && mkdir upper work rootfs && mount -t overlay overlay -o ${layers} rootfs && mkdir -p rootfs/proc rootfs/dev`,
  );
  return `exec crun run --bundle ${bundle} ${container.name}`;
}

function specification({ name, command, mounts = [], env = {} }: NestedContainer): object {
  const mount = (destination: string, type: string, source: string, ...options: readonly string[]): object => ({
    destination,
    type,
    source,
    options,
  });
  const environment = { PATH: '/usr/local/bin:/bin', ...env };
  const none = { bounding: [], effective: [], permitted: [] };
  return {
    ociVersion: '1.0.2',
    hostname: name,
    root: { path: 'rootfs' },
    process: {
      user: { uid: 0, gid: 0 },
      cwd: '/',
      args: command,
      env: Object.entries(environment).map(([key, value]) => `${key}=${value}`),
      noNewPrivileges: true,
      capabilities: none,
    },
    mounts: [
      mount('/proc', 'proc', 'proc'),
      mount('/dev', 'tmpfs', 'tmpfs', 'nosuid', 'mode=755'),
      mount('/dev/shm', 'tmpfs', 'shm'),
      ...mounts.map(({ source, destination }) => mount(destination, 'bind', source, 'bind')),
    ],
    linux: { cgroupsPath: `/aquifer/${name}`, namespaces: NAMESPACES.map((type) => ({ type })) },
  };
}
