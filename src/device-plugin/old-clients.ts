import { readdir, readFile, rmdir, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import type { Log } from '../lib/log.ts';

/** What is placed for pods; a directory with anything else in it is none of ours. */
const PLACED = ['libcuda.so.1', 'libnvidia-ml.so.1', 'container-hook'];

/** The part of kubelet's own record that says what it mounts into containers, also when it starts them again. */
const checkpointSchema = z.looseObject({
  Data: z.looseObject({
    PodDeviceEntries: z.array(z.looseObject({ AllocResp: z.base64().nullable() })).nullable(),
  }),
});

export interface OldClientsOptions {
  /** The libraries of this version; those of others lie beside them. */
  readonly clientDir: string;
  readonly kubeletDir: string;
  readonly log: Log;
}

/**
 * Removes client libraries of other versions, but for those that kubelet mounts into a pod: its containers would not start
 * again without. Removes nothing where that cannot be known.
 */
export async function removeOldClients({ clientDir, kubeletDir, log }: OldClientsOptions): Promise<void> {
  try {
    const mounted = await mountsOf(join(kubeletDir, 'device-plugins/kubelet_internal_checkpoint'));
    const parent = dirname(clientDir);
    const others = (await readdir(parent)).filter((name) => name !== basename(clientDir));
    for (const directory of others.map((name) => join(parent, name))) {
      if (!mounted.includes(`${directory}/`) && (await removePlaced(directory))) {
        log.info('client libraries of another version removed', { directory });
      }
    }
  } catch (err) {
    log.warn('client libraries of other versions are left', { err });
  }
}

/** All answers to Allocate that are good for a pod of this node: Protobuf, in which a path is as it is. */
async function mountsOf(checkpoint: string): Promise<string> {
  const { Data } = checkpointSchema.parse(JSON.parse(await readFile(checkpoint, 'utf8')));
  const answers = (Data.PodDeviceEntries ?? []).map(({ AllocResp }) => Buffer.from(AllocResp ?? '', 'base64'));
  return answers.map((answer) => answer.toString('latin1')).join('\n');
}

async function removePlaced(directory: string): Promise<boolean> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => undefined); // No directory.
  if (entries?.every((entry) => entry.isFile() && PLACED.includes(entry.name)) !== true) return false;
  for (const { name } of entries) await unlink(join(directory, name));
  await rmdir(directory);
  return true;
}
