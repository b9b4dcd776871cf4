import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isInit, takeDown } from './take-down.ts';
import { stateFolder } from './topology.ts';

/** From here on tests take what is free; below are those that people start by number. */
const FIRST_OF_TESTS = 100;
const LAST = 255;

/** Makes the folder of a cluster, after removing what a dead one left there. @returns false when one has it that lives. */
export async function claimId(id: number): Promise<boolean> {
  // Else two could find the same dead one, and the slower would take down what the faster has put in its place.
  await using _lock = await lockClaims();
  if (isInUse(id)) return false;
  await takeDown(id);
  mkdirSync(stateFolder(id), { mode: 0o700 });
  writeFileSync(join(stateFolder(id), 'owner'), String(process.pid));
  return true;
}

/** Takes a cluster down. Whoever looks for a free id meanwhile would find this one's init dead, and put a cluster in its place. */
export async function releaseId(id: number): Promise<void> {
  await using _lock = await lockClaims();
  await takeDown(id);
}

/** @throws Error when so many clusters run already. */
export async function claimFreeId(): Promise<number> {
  for (let id = FIRST_OF_TESTS; id <= LAST; id += 1) if (await claimId(id)) return id;
  throw new Error('no id is free for another cluster');
}

/** The lock is on the folder itself, so it leaves no file, and ends with this process at the latest. */
async function lockClaims(): Promise<AsyncDisposable> {
  const holder = spawn('flock', [dirname(stateFolder(0)), 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  return {
    async [Symbol.asyncDispose]() {
      holder.stdin.end();
      await once(holder, 'close');
    },
  };
}

/** While its init runs, and before that while whoever starts it does. */
export function isInUse(id: number): boolean {
  const state = stateFolder(id);
  const read = (file: string): string => (existsSync(join(state, file)) ? readFileSync(join(state, file), 'utf8') : '');
  const init = read('control-plane/hostpid');
  if (init !== '') return isInit(Number(init), state);
  const owner = read('owner');
  return owner !== '' && existsSync(join('/proc', owner));
}
