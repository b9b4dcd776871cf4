import { readFileSync } from 'node:fs';

/** A process, told apart from a later one that got its number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat. */
  readonly startTime: number;
}

/** The state letter and the start time of a process as /proc/PID/stat has them; undefined if the text is none. */
export function parseStat(text: string): { readonly state: string; readonly startTime: number } | undefined {
  // The name in parentheses may itself hold parentheses and spaces: count from the last one.
  const [state, ...fields] = text
    .slice(text.lastIndexOf(')') + 1)
    .trim()
    .split(' ');
  const startTime = Number(fields[18]); // Field 22; the state is field 3.
  return state === undefined || !Number.isSafeInteger(startTime) ? undefined : { state, startTime };
}

/** The process that has this number now; undefined if none has. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const stat = statOf(pid);
  return stat === undefined ? undefined : { pid, startTime: stat.startTime };
}

/** Whether that very process runs. One that is dead but not yet waited for does not. */
export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  const stat = statOf(pid);
  return stat !== undefined && stat.startTime === startTime && stat.state !== 'Z' && stat.state !== 'X';
}

function statOf(pid: number): ReturnType<typeof parseStat> {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Sends a signal to that very process, if it still runs. */
export function signalProcess(process_: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isAlive(process_)) return;
  try {
    process.kill(process_.pid, signal);
  } catch (error) {
    if (!(error instanceof Error && Reflect.get(error, 'code') === 'ESRCH')) throw error;
  }
}
