import type { DatabaseSync } from 'node:sqlite';
import type { Kind, Kinds } from '../api/kinds.ts';
import { deepFreeze } from '../lib/deep-freeze.ts';
import type { EventDraft, EventRecord, Key, ObjectReference } from '../runtime/store.ts';

const EVENTS_PER_OBJECT = 50;
const EVENTS_IN_ALL = 5000;

/** The objects and the counter of their versions. */
export interface ObjectTable {
  version(): number;
  /** Takes the next version; only inside a transaction. */
  nextVersion(): number;
  get<K extends Kind>(kind: K, key: Key): Kinds[K] | undefined;
  /** Sorted by namespace and name. */
  list<K extends Kind>(kind: K, namespace?: string): Kinds[K][];
  put(object: Kinds[Kind]): void;
  remove(kind: Kind, key: Key): void;
}

export function objectTable(database: DatabaseSync): ObjectTable {
  const version = database.prepare("SELECT value FROM counters WHERE name = 'resourceVersion'");
  const next = database.prepare("UPDATE counters SET value = value + 1 WHERE name = 'resourceVersion' RETURNING value");
  const get = database.prepare('SELECT body FROM objects WHERE kind = ? AND namespace = ? AND name = ?');
  const all = database.prepare('SELECT body FROM objects WHERE kind = ? ORDER BY namespace, name');
  const inNamespace = database.prepare('SELECT body FROM objects WHERE kind = ? AND namespace = ? ORDER BY name');
  const put = database.prepare('INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)');
  const remove = database.prepare('DELETE FROM objects WHERE kind = ? AND namespace = ? AND name = ?');

  return {
    version: () => Number(version.get()?.['value']),
    nextVersion: () => Number(next.get()?.['value']),
    get<K extends Kind>(kind: K, { namespace = '', name }: Key) {
      const row = get.get(kind, namespace, name);
      return row === undefined ? undefined : parse<K>(row);
    },
    list<K extends Kind>(kind: K, namespace?: string) {
      const rows = namespace === undefined ? all.all(kind) : inNamespace.all(kind, namespace);
      return rows.map((row) => parse<K>(row));
    },
    put({ kind, ...rest }) {
      const { namespace = '', name } = rest.metadata;
      put.run(kind, namespace, name, JSON.stringify({ kind, ...rest }));
    },
    remove: (kind, { namespace = '', name }) => void remove.run(kind, namespace, name),
  };
}

const parse = <K extends Kind>(row: Readonly<Record<string, unknown>>): Kinds[K] =>
  deepFreeze(JSON.parse(String(row['body'])) as Kinds[K]);

/** Events, bounded for each object and in all: the oldest make room. */
export interface EventTable {
  record(about: ObjectReference, event: EventDraft, time: string): void;
  list(about: ObjectReference): EventRecord[];
}

export function eventTable(database: DatabaseSync): EventTable {
  const next = database.prepare("UPDATE counters SET value = value + 1 WHERE name = 'event' RETURNING value");
  const record = database.prepare(
    `INSERT INTO events VALUES (:id, :kind, :namespace, :name, :uid, :type, :reason, :message, 1, :time, :time)
     ON CONFLICT DO UPDATE SET id = :id, count = count + 1, lastTimestamp = :time RETURNING count`,
  );
  const trimObject = database.prepare(
    `DELETE FROM events WHERE id IN (SELECT id FROM events WHERE kind = ? AND namespace = ? AND name = ?
     ORDER BY id DESC LIMIT -1 OFFSET ${EVENTS_PER_OBJECT})`,
  );
  const trimAll = database.prepare(
    `DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id DESC LIMIT -1 OFFSET ${EVENTS_IN_ALL})`,
  );
  const list = database.prepare(
    `SELECT type, reason, message, count, firstTimestamp, lastTimestamp FROM events
     WHERE kind = :kind AND namespace = :namespace AND name = :name AND (:uid = '' OR uid = :uid) ORDER BY id`,
  );

  return {
    record({ kind, namespace = '', name, uid = '' }, { type, reason, message }, time) {
      const id = Number(next.get()?.['value']);
      const row = record.get({ id, kind, namespace, name, uid, type, reason, message, time });
      if (row?.['count'] !== 1) return; // A repeated event takes no room.
      trimObject.run(kind, namespace, name);
      trimAll.run();
    },
    list: ({ kind, namespace = '', name, uid = '' }) =>
      list.all({ kind, namespace, name, uid }).map((row) => deepFreeze({ ...row } as unknown as EventRecord)),
  };
}
