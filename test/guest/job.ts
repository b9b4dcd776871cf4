import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestRan } from './control-channel.ts';
import type { Guest } from './guest.ts';

const POLL_MS = 200;
/** Where a guest keeps what its jobs print. */
export const JOBS = '/run/jobs';

/** A command line that runs in the background of a guest, also while that migrates. */
export interface Job {
  /** What it has printed so far. */
  output(): Promise<string>;
  /** @throws Error with what it has printed when it takes longer. */
  ended(timeoutMs?: number): Promise<GuestRan>;
}

/** Starts a command line under a name that no job of the guest has which still runs. */
export async function startJob(guest: Guest, name: string, command: string): Promise<Job> {
  const file = `${JOBS}/${name}`;
  await guest.write(`${file}.sh`, `${command}\n`);
  const end = `echo $? >${file}.code.new; mv ${file}.code.new ${file}.code`;
  await guest.exec(
    `rm -f ${file}.code; : >${file}.out; (sh ${file}.sh >${file}.out 2>&1 </dev/null; ${end}) >/dev/null 2>&1 &`,
  );
  return jobIn(guest, name);
}

/** A job that the guest has, though it may have been started in another one, from whose state this one was restored. */
export function jobIn(guest: Guest, name: string): Job {
  const file = `${JOBS}/${name}`;
  const output = (): Promise<string> => guest.exec(`cat ${file}.out`);
  return {
    output,
    async ended(timeoutMs = 120_000) {
      const deadline = Date.now() + timeoutMs;
      for (;;) {
        const { code, output: status } = await guest.attempt(`cat ${file}.code`);
        if (code === 0) return { code: Number(status), output: await output() };
        if (Date.now() > deadline)
          throw new Error(`${name} runs on after ${timeoutMs} ms; it said:\n${await output()}`);
        await sleep(POLL_MS);
      }
    },
  };
}
