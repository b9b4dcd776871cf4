import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../runtime/store.ts';

/**
 * The layout of the database, one step a version. A step that was released is never edited: add another.
 * `objects.body` is the whole object as JSON; `namespace` is '' for cluster-wide kinds. Events are kept in the order in
 * which they last happened: `events.id` is renewed when an event repeats.
 */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
   INSERT INTO counters VALUES ('resourceVersion', 0), ('event', 0);
   CREATE TABLE objects (
     kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
     PRIMARY KEY (kind, namespace, name)
   ) STRICT;
   CREATE TABLE events (
     id INTEGER PRIMARY KEY,
     kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL,
     type TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL,
     count INTEGER NOT NULL, firstTimestamp TEXT NOT NULL, lastTimestamp TEXT NOT NULL,
     UNIQUE (kind, namespace, name, uid, type, reason, message)
   ) STRICT;`,
];

/** Brings the database to the newest layout, each step whole or not at all. */
export function migrate(database: DatabaseSync, now: Date): void {
  const version = currentVersion(database);
  if (version > MIGRATIONS.length) {
    throw new StoreError(
      'Unavailable',
      `the database was written by a newer version of Aquifer: its layout is ${version}, this version knows up to ` +
        `${MIGRATIONS.length}`,
    );
  }
  for (const [index, sql] of MIGRATIONS.entries()) {
    if (index >= version) apply(database, index + 1, sql, now);
  }
}

function currentVersion(database: DatabaseSync): number {
  const known = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'").get();
  if (known === undefined) return 0;
  const row = database.prepare('SELECT coalesce(max(version), 0) AS version FROM migrations').get();
  return Number(row?.['version']);
}

function apply(database: DatabaseSync, version: number, sql: string, now: Date): void {
  database.exec('BEGIN IMMEDIATE');
  try {
    database.exec(
      'CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, appliedAt TEXT NOT NULL) STRICT',
    );
    database.exec(sql);
    database.prepare('INSERT INTO migrations VALUES (?, ?)').run(version, now.toISOString());
    database.exec('COMMIT');
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
