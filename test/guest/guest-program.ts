import type { Guest } from './guest.ts';
import { JOBS, jobIn, startJob, type Job } from './job.ts';
import { CONTAINER_KERNELS, PROGRAMS_ROOT } from './product-disk.ts';

const PATIENCE_SECONDS = 150;

/** The program of test/programs/session.c in a guest: it does what it is told, line by line. */
export interface GuestProgram {
  /** What it answers: "ok", or the name of a CUDA error. It may be asked while the guest is not reachable from outside. */
  ask(command: string): Promise<string>;
  /** Tells it without waiting for the answer. */
  tell(command: string): Promise<void>;
  /** Its next answer, of what it was told. */
  answer(): Promise<string>;
  /** Closes its standard input, at which it ends. */
  end(): Promise<{ readonly code: number; readonly output: string }>;
  readonly job: Job;
}

/** Starts it as a process of the guest itself and waits until it has its vGPU. @throws Error with what it says instead. */
export async function startGuestProgram(guest: Guest, name: string, socket: string): Promise<GuestProgram> {
  const [program, kernels] = [`${PROGRAMS_ROOT}/usr/local/bin/session`, PROGRAMS_ROOT + CONTAINER_KERNELS];
  const [input, errors] = ['in', 'err'].map((end) => `${JOBS}/${name}.${end}`);
  const settings = `AQUIFER_SOCKET=${socket} LD_LIBRARY_PATH=/usr/local/lib/aquifer/client`;
  await guest.exec(`mkdir -p ${JOBS}; mkfifo ${input}; sleep 100000 2>/dev/null >${input} & echo $! >${input}.pid`);
  await startJob(guest, name, `${settings} exec ${program} ${kernels} <${input} 2>${errors}`);
  const started = programIn(guest, name);
  const greeting = await started.answer();
  if (!greeting.startsWith('vGPU: ')) throw new Error(`${name} says ${JSON.stringify(greeting)}`);
  return started;
}

/** The same that the guest has since it was restored from a saved state. */
export function programIn(guest: Guest, name: string): GuestProgram {
  const [input, output, errors] = ['in', 'out', 'err'].map((end) => `${JOBS}/${name}.${end}`);
  const job = jobIn(guest, name);
  /** How many of its lines were read, or were there before it was told anything. */
  let read: number | undefined;
  const answer = async (): Promise<string> => {
    const next = (read ?? 0) + 1;
    const isThere = `[ $(wc -l <${output}) -ge ${next} ] || [ -e ${JOBS}/${name}.code ]`;
    const waits = `for i in $(seq ${PATIENCE_SECONDS * 5}); do ${isThere} && break; sleep 0.2; done`;
    const line = await guest.exec(`${waits}; sed -n ${next}p ${output}`, (PATIENCE_SECONDS + 60) * 1000);
    if (line === '')
      throw new Error(`${name} does not answer; it said:\n${await guest.exec(`cat ${output} ${errors}`)}`);
    read = next;
    return line.trimEnd();
  };
  const tell = async (command: string): Promise<void> => {
    const before = Number(await guest.exec(`wc -l <${output}; echo '${command}' >${input}`));
    read ??= before;
  };
  return {
    job,
    tell,
    answer,
    async ask(command) {
      await tell(command);
      return answer();
    },
    async end() {
      await guest.exec(`kill $(cat ${input}.pid)`);
      return job.ended();
    },
  };
}
