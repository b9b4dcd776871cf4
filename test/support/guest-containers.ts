import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import { PREFIX, runProgram, type Ran } from './serve.ts';

/** A cgroup as a container runtime makes one; what is started in it is a container as far as a connector can see. */
export interface PlainContainer extends AsyncDisposable {
  readonly id: string;
  /** Its first process, which stands for it. */
  readonly pid: number;
  /** Begins a command line with this, to run it in the container. */
  readonly enter: readonly string[];
  /** What the runtime does with the hook of a device. */
  register(control: string, share?: string): Promise<Ran>;
}

/** Where cgroup version 2 is mounted. @throws Error if it is not: the tests of guests need it. */
function cgroupRoot(): string {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  const found = mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2');
  if (found?.[1] === undefined) throw new Error('cgroup version 2 is not mounted on this machine');
  return found[1];
}

/** A container without a runtime: its first process, in a cgroup of its own. Needs root. */
export async function startPlainContainer(id: string): Promise<PlainContainer> {
  const cgroup = join(cgroupRoot(), `aquifer-test-${process.pid}-${id}`);
  mkdirSync(cgroup, { recursive: true });
  const enter = ['sh', '-c', `echo $$ > ${join(cgroup, 'cgroup.procs')} && exec "$@"`, 'sh'];
  const [shell = '', ...words] = enter;
  const first = runProgram(shell, [...words, 'sleep', '1000']);
  const pid = first.child.pid ?? 0;
  await eventually(
    () => readFileSync(`/proc/${pid}/cgroup`, 'utf8'),
    (text) => text.includes(`-${id}\n`),
  );
  return {
    id,
    pid,
    enter,
    async register(control, share) {
      const state = JSON.stringify({ ociVersion: '1.0.2', id, pid, status: 'creating', bundle: '/' });
      const flags = share === undefined ? [] : ['--share', share];
      const hook = join(PREFIX, 'bin/aquifer-connector');
      return await runProgram(hook, ['hook', '--control', control, ...flags], { stdin: state }).ended;
    },
    async [Symbol.asyncDispose]() {
      killAll(cgroup);
      await first.ended;
      // A process that is killed is listed no more some time before its cgroup can go.
      await eventually(
        () => isRemoved(cgroup),
        (removed) => removed,
      );
    },
  };
}

function killAll(cgroup: string): void {
  writeFileSync(join(cgroup, 'cgroup.kill'), '1');
}

function isRemoved(cgroup: string): boolean {
  try {
    rmdirSync(cgroup);
    return true;
  } catch (error) {
    if (Reflect.get(Object(error), 'code') === 'EBUSY') return false;
    throw error;
  }
}
