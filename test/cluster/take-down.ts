import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { removeCgroups } from './cgroups.ts';
import { run } from './run.ts';
import { hostVeth, PLACES, stateFolder } from './topology.ts';

const END_MS = 60_000;
const POLL_MS = 50;

/** Ends a cluster, in whatever state it is, and removes all that it was; nothing happens when there is none. */
export async function takeDown(id: number): Promise<void> {
  const state = stateFolder(id);
  if (!existsSync(state)) return;
  // By name: connections that nobody owns any more keep a dead network namespace, and so this end of its link, for minutes.
  if (existsSync(join('/sys/class/net', hostVeth(id)))) await run(['ip', 'link', 'delete', hostVeth(id)]);
  await killInit(state);
  await eventuallyDone(() => removeCgroups(cgroupsOf(state)));
  await run(['rm', '-rf', '--one-file-system', state]);
}

/** All other processes of the cluster are in the pid namespace of this one and end with it. */
async function killInit(state: string): Promise<void> {
  const file = join(state, 'control-plane/hostpid');
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, 'utf8'));
  if (!isInit(pid, state)) return;
  process.kill(pid, 'SIGKILL');
  await eventuallyDone(() => {
    if (isInit(pid, state)) throw new Error(`process ${pid} did not end`);
  });
}

/** Whether this is the init of the cluster: when that has ended, the number may be another's. */
export function isInit(pid: number, state: string): boolean {
  const file = `/proc/${pid}/cmdline`;
  return existsSync(file) && readFileSync(file, 'utf8').split('\0').includes(state);
}

/** The cgroup of the whole cluster in each hierarchy. */
function cgroupsOf(state: string): readonly string[] {
  const files = PLACES.map((place) => join(state, place, 'cgroups')).filter((file) => existsSync(file));
  const cgroups = files.flatMap((file) => readFileSync(file, 'utf8').trim().split('\n'));
  return [...new Set(cgroups.map((cgroup) => join(cgroup, '..')))];
}

async function eventuallyDone(attempt: () => void): Promise<void> {
  const deadline = Date.now() + END_MS;
  for (;;) {
    try {
      attempt();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(POLL_MS);
    }
  }
}
