import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { boundLog } from './bounded-log.ts';
import { isAsWanted, livingProcess, startProcess, stopProcess, type NativeProgram } from './native-process.ts';
import { backoffMs } from '../runtime/backoff.ts';
import { isAlive } from '../ipc/process-identity.ts';
import type { RunRecord } from './run-record.ts';

export interface SupervisorDeps {
  readonly clock: Clock;
  readonly log: Log;
}

/** Keeps one native process running. Disposing it only stops the keeping. */
export interface Supervised extends AsyncDisposable {
  /** The process as last seen. */
  record(): RunRecord;
}

const POLL_MS = 250;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 15_000;
const STEADY_MS = 60_000; // A process that ran for so long is not in a crash loop.

/**
 * Adopts the process of an earlier run where one lives and fits, else starts one; and starts another whenever it dies.
 * @throws Error if the first start fails.
 */
export async function supervise(program: NativeProgram, { clock, log }: SupervisorDeps): Promise<Supervised> {
  let record = await adoptOrStart(program, log);
  let startedAt = clock.now().getTime();
  let failures = 0;
  let stopped = false;
  let timer: Disposable | undefined;
  let working: Promise<void> = Promise.resolve();

  const restart = async (): Promise<void> => {
    try {
      record = await startProcess(program);
      startedAt = clock.now().getTime();
      log.warn('process restarted', { process: program.name, pid: record.pid });
    } catch (err) {
      log.error('process not restarted', { process: program.name, err });
    }
  };

  const look = async (): Promise<void> => {
    boundLog(program.log);
    if (isAlive(record)) return schedule(POLL_MS);
    if (clock.now().getTime() - startedAt > STEADY_MS) failures = 0;
    await restart();
    return schedule(backoffMs(++failures, { baseMs: FIRST_RETRY_MS, capMs: LAST_RETRY_MS }));
  };

  const schedule = (ms: number): void => {
    if (stopped) return;
    timer = clock.after(ms, () => {
      working = look().catch((err: unknown) => {
        log.error('process not watched', { process: program.name, err });
        schedule(LAST_RETRY_MS);
      });
    });
  };
  schedule(POLL_MS);

  return {
    record: () => record,
    async [Symbol.asyncDispose]() {
      stopped = true;
      timer?.[Symbol.dispose]();
      await working;
    },
  };
}

async function adoptOrStart(program: NativeProgram, log: SupervisorDeps['log']): Promise<RunRecord> {
  const living = livingProcess(program);
  if (living === undefined) return startProcess(program);
  // Workers are children of the spawner: replacing it would have to wait for the last of them.
  if (program.name === 'spawner' || isAsWanted(program, living)) {
    log.info('process adopted', { process: program.name, pid: living.pid, version: living.version });
    return living;
  }
  log.info('process replaced', { process: program.name, pid: living.pid, version: living.version });
  await stopProcess(living);
  return startProcess(program);
}
