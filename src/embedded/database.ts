import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../runtime/store.ts';
import { isBusy, toStoreError } from './database-error.ts';
import { migrate } from './migrations.ts';

const DATABASE = 'aquifer.db';
const OWNER = 'owner.json';
const LOCK_WAIT_MS = 500; // A process that was just killed may take a moment to let go of its lock.

/**
 * Opens the database in `directory`, which is made if need be, for this process alone: checked, and in today's layout.
 * The lock is SQLite's own on the file, so it ends with the process, however that ends.
 * @throws StoreError `Unavailable` if another process has it, or if it is damaged, newer than we are, or not writable.
 */
export function openDatabase(directory: string, now: Date): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    makeDirectory(directory);
    database = new DatabaseSync(join(directory, DATABASE), { timeout: LOCK_WAIT_MS });
    lock(database, directory);
    check(database, directory);
    migrate(database, now);
    return database;
  } catch (error) {
    database?.close();
    throw toStoreError(error);
  }
}

function makeDirectory(directory: string): void {
  const created = mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (created !== undefined) syncDirectory(dirname(created));
}

/** A new name is durable only when the directory that holds it is. */
function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** The first read in exclusive mode takes the lock, and only closing the database gives it back. */
function lock(database: DatabaseSync, directory: string): void {
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    database.exec('PRAGMA journal_mode = WAL');
    database.exec('PRAGMA synchronous = FULL');
    database.exec('BEGIN IMMEDIATE; COMMIT');
  } catch (error) {
    if (!isBusy(error)) throw error;
    throw new StoreError('Unavailable', `${directory} is in use by ${ownerOf(directory)}`, { cause: error });
  }
  signOwner(directory);
}

/** Leaves word of who holds the lock. It is for messages only, so a full disk must not keep the store from opening. */
function signOwner(directory: string): void {
  const file = join(directory, OWNER);
  try {
    writeFileSync(`${file}.new`, JSON.stringify({ pid: process.pid }), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  } catch {
    // ownerOf() then says "another process".
  }
}

function ownerOf(directory: string): string {
  try {
    const { pid } = JSON.parse(readFileSync(join(directory, OWNER), 'utf8')) as { readonly pid?: unknown };
    if (typeof pid === 'number') return `process ${pid}: stop it, or choose another directory`;
  } catch {
    // Said below.
  }
  return 'another process: stop it, or choose another directory';
}

function check(database: DatabaseSync, directory: string): void {
  const row = database.prepare('PRAGMA integrity_check(1)').get();
  const verdict = row?.['integrity_check'];
  if (verdict !== 'ok') {
    throw new StoreError(
      'Unavailable',
      `the database ${join(directory, DATABASE)} is damaged (${String(verdict)}): restore it from a copy`,
    );
  }
}
