import { join } from 'node:path';
import type { Allocation } from './resource.ts';

/** Where things lie on the node. The plugin sees them under the same paths as kubelet. */
export interface NodeLayout {
  /** One directory a slot. */
  readonly slots: string;
  /** The client libraries of this version; never changed once it is there, since programs have them mapped. */
  readonly client: string;
  /** The CDI device whose hook sees to the loader cache of the image; none where the runtime has no CDI. */
  readonly cdiDevice?: string | undefined;
}

/** Where a program's connection waits inside the container. */
const SLOT_PATH = '/run/aquifer';

/** The directories that the loaders of Debian's and of Red Hat's family trust, whatever LD_LIBRARY_PATH says. */
const TRUSTED_DIRECTORIES = ['/usr/lib/x86_64-linux-gnu', '/usr/lib64'];

const LIBRARIES: Readonly<Record<string, string>> = {
  'libcuda.so.1': 'libcuda.so.1',
  'libcuda.so': 'libcuda.so.1',
  'libnvidia-ml.so.1': 'libnvidia-ml.so.1',
};

/** What a container gets with a slot: its directory, and the client libraries as single files. No environment. */
export function slotMounts(slot: string, { slots, client, cdiDevice }: NodeLayout): Allocation {
  const libraries = TRUSTED_DIRECTORIES.flatMap((directory) =>
    Object.entries(LIBRARIES).map(([name, file]) => readOnly(join(client, file), `${directory}/${name}`)),
  );
  return {
    mounts: [readOnly(join(slots, slot), SLOT_PATH), ...libraries],
    cdiDevices: cdiDevice === undefined ? [] : [{ name: cdiDevice }],
  };
}

const readOnly = (hostPath: string, containerPath: string) => ({ hostPath, containerPath, readOnly: true });
