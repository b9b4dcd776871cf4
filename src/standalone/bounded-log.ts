import { copyFileSync, openSync, statSync, truncateSync } from 'node:fs';

const MAX_LOG_BYTES = 8 * 1024 * 1024;

/** Opens a log for a process that outlives us: each write goes to its end, wherever that is by then. */
export const openLog = (path: string): number => openSync(path, 'a', 0o600);

/**
 * Keeps a log that another process writes within bounds: one that has grown too long moves to PATH.1 and starts anew. A line
 * written between the copy and the cut is lost; the alternative is a log that fills the disk.
 */
export function boundLog(path: string, maxBytes: number = MAX_LOG_BYTES): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= maxBytes) return;
  copyFileSync(path, `${path}.1`);
  truncateSync(path, 0);
}
