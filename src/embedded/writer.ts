import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../runtime/store.ts';
import { isDatabaseError, toStoreError } from './database-error.ts';

const MAX_BATCH = 256; // About 10 ms of work: the event loop must not stand still for longer.

/** What a piece of work did: its answer, and what to tell the world once it is durable. */
interface Done<Change> {
  readonly result: unknown;
  readonly changes: readonly Change[];
}

interface Job<Change> {
  readonly work: () => Done<Change>;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: StoreError) => void;
}

export interface Writer<Change> {
  /**
   * Runs `work` in a transaction and answers once that is on disk. Work that throws leaves nothing behind and spoils
   * nothing else. All work of one turn of the event loop shares a transaction, hence one sync of the disk.
   */
  submit<T>(work: () => { readonly result: T; readonly changes: readonly Change[] }): Promise<T>;
  /** Finishes what was submitted; what comes later is refused. */
  close(): void;
}

/** The one writer of a database. `publish` hears of the changes of each transaction, in order, after its commit. */
export function createWriter<Change>(
  database: DatabaseSync,
  publish: (changes: readonly Change[]) => void,
): Writer<Change> {
  let queue: Job<Change>[] = [];
  let scheduled: NodeJS.Immediate | undefined;
  let closed = false;

  const schedule = (): void => {
    scheduled ??= setImmediate(() => {
      scheduled = undefined;
      const batch = queue.slice(0, MAX_BATCH);
      queue = queue.slice(MAX_BATCH);
      if (queue.length > 0) schedule();
      runBatch(database, batch, publish);
    });
  };

  return {
    submit: <T>(work: () => { readonly result: T; readonly changes: readonly Change[] }): Promise<T> =>
      new Promise<T>((resolve, reject) => {
        if (closed) return reject(new StoreError('Unavailable', 'the store is closed'));
        queue.push({ work, resolve: resolve as (result: unknown) => void, reject });
        schedule();
      }),

    close() {
      closed = true;
      clearImmediate(scheduled);
      runBatch(database, queue, publish);
      queue = [];
    },
  };
}

type Outcome<Change> = { readonly job: Job<Change>; readonly done: Done<Change> };

function runBatch<Change>(
  database: DatabaseSync,
  batch: readonly Job<Change>[],
  publish: (changes: readonly Change[]) => void,
): void {
  if (batch.length === 0) return;
  let outcomes: Outcome<Change>[];
  try {
    database.exec('BEGIN IMMEDIATE');
    outcomes = batch.flatMap((job) => runJob(database, job));
  } catch (error) {
    return fail(database, batch, toStoreError(error));
  }
  try {
    database.exec('COMMIT');
  } catch (error) {
    return fail(database, batch, toStoreError(error, true));
  }
  publish(outcomes.flatMap(({ done }) => done.changes));
  for (const { job, done } of outcomes) job.resolve(done.result);
}

/** A refusal undoes this job alone and is told at once; a failure of the database is the whole batch's. */
function runJob<Change>(database: DatabaseSync, job: Job<Change>): Outcome<Change>[] {
  database.exec('SAVEPOINT job');
  try {
    const done = job.work();
    database.exec('RELEASE job');
    return [{ job, done }];
  } catch (error) {
    if (isDatabaseError(error)) throw error;
    database.exec('ROLLBACK TO job; RELEASE job');
    job.reject(toStoreError(error));
    return [];
  }
}

/** Rejecting a job that was refused before changes nothing: a promise is settled once. */
function fail<Change>(database: DatabaseSync, batch: readonly Job<Change>[], error: StoreError): void {
  if (database.isTransaction) database.exec('ROLLBACK');
  for (const job of batch) job.reject(error);
}
