import { StoreError, type StoreErrorCode } from '../runtime/store.ts';

// Primary result codes of SQLite (https://sqlite.org/rescode.html); the extended code is in the higher bits.
const SQLITE_BUSY = 5;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

/** Another process has the database open. */
export const isBusy = (error: unknown): boolean => primaryCode(error) === SQLITE_BUSY;

/**
 * The answer that a failure of the database is for whoever called the store. `committing` says that COMMIT had begun:
 * if the disk failed then, nobody knows whether the write is there after the next start.
 */
export function toStoreError(error: unknown, committing = false): StoreError {
  if (error instanceof StoreError) return error;
  const { code, message } = meaningOf(error, committing);
  return new StoreError(code, message, { cause: error });
}

interface Meaning {
  readonly code: StoreErrorCode;
  readonly message: string;
}

function meaningOf(error: unknown, committing: boolean): Meaning {
  const code = primaryCode(error);
  if (code === SQLITE_FULL) {
    return { code: 'Unavailable', message: 'the disk that holds the database is full: nothing was written' };
  }
  if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB) {
    return { code: 'Unavailable', message: 'the database is damaged: restore it from a copy' };
  }
  if (code === SQLITE_IOERR && committing) {
    return { code: 'Unknown', message: 'the disk failed while a write was made durable' };
  }
  return { code: 'Unavailable', message: `the database failed: ${messageOf(error)}` };
}

/** Whether SQLite failed, as opposed to our own code. */
export const isDatabaseError = (error: unknown): boolean => primaryCode(error) !== undefined;

/** By shape, not by class: where tests run in a realm of their own, SQLite's errors come from another. */
function primaryCode(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const code: unknown = Reflect.get(error, 'errcode');
  return typeof code === 'number' ? code & 0xff : undefined;
}

const messageOf = (error: unknown): string =>
  typeof error === 'object' && error !== null ? String(Reflect.get(error, 'message')) : String(error);
