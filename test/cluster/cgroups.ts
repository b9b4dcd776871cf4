import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const MOUNT = '/sys/fs/cgroup';

/** Makes a cgroup of this name in every hierarchy below the caller's own, so that the caller's limits go on to hold. */
export function createCgroups(name: string): readonly string[] {
  return hierarchies().map(({ folder, controllers, isAlone }) => {
    const cgroup = join(folder, name);
    mkdirSync(cgroup, { recursive: true });
    if (controllers === 'cpuset') copyCpuset(folder, name);
    if (isAlone) {
      handOnControllers(folder, name);
      mkdirSync(join(cgroup, 'init'), { recursive: true });
    }
    return cgroup;
  });
}

/** Removes a cgroup and those below it, once no process is in them. */
export function removeCgroups(cgroups: readonly string[]): void {
  for (const cgroup of cgroups.filter((path) => existsSync(path))) removeTree(cgroup);
}

interface Hierarchy {
  readonly controllers: string;
  readonly folder: string;
  /** Version 2 without any of version 1 beside it. */
  readonly isAlone: boolean;
}

function hierarchies(): readonly Hierarchy[] {
  const lines = readFileSync('/proc/self/cgroup', 'utf8').trimEnd().split('\n');
  const isAlone = lines.every((line) => line.startsWith('0::'));
  return lines
    .map((line) => {
      const [, controllers = '', path = '/'] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
      const mount = join(MOUNT, controllers === '' ? (isAlone ? '' : 'unified') : controllers.replace(/^name=/, ''));
      // A version 2 cgroup that has processes, as the caller's own, may not hand on its controllers: begin at the top.
      const folder = isAlone || !existsSync(join(mount, path)) ? mount : join(mount, path);
      return { controllers, folder, isAlone };
    })
    .filter(({ folder }) => existsSync(folder));
}

/** A new cpuset is empty, and an empty one takes no process. */
function copyCpuset(folder: string, name: string): void {
  let current = folder;
  for (const part of name.split('/')) {
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      writeFileSync(join(current, part, file), readFileSync(join(current, file)));
    }
    current = join(current, part);
  }
}

function handOnControllers(folder: string, name: string): void {
  const controllers = readFileSync(join(folder, 'cgroup.controllers'), 'utf8').trim().split(' ');
  let current = folder;
  for (const part of name.split('/')) {
    writeFileSync(join(current, 'cgroup.subtree_control'), controllers.map((controller) => `+${controller}`).join(' '));
    current = join(current, part);
  }
}

function removeTree(cgroup: string): void {
  for (const entry of readdirSync(cgroup, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(cgroup, entry.name));
  }
  rmdirSync(cgroup);
}
