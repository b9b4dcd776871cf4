import type { DatabaseSync } from 'node:sqlite';
import type { Kinds } from '../api/kinds.ts';
import type { Clock } from '../lib/clock.ts';
import { StoreError, type Store } from '../runtime/store.ts';
import { toStoreError } from './database-error.ts';
import { openDatabase } from './database.ts';
import { History, type Change } from './history.ts';
import { checkedKey, createObject, deleteObject, patchObject } from './operations.ts';
import { eventTable, objectTable } from './tables.ts';
import { createWriter } from './writer.ts';

const HISTORY_SIZE = 4096; // A burst of 200 claims is some 1,000 writes; at 2 KiB each this is about 8 MiB.

export interface EmbeddedStoreOptions {
  /** Holds the database and nothing else; made with mode 0700 if it is not there. */
  readonly directory: string;
  readonly clock: Pick<Clock, 'now'>;
  /** How many changes a watch may lag behind, at least. @default 4096 */
  readonly historySize?: number;
}

/** A store in one SQLite file, for one process. Disposing it finishes what was submitted and gives up the lock. */
export interface EmbeddedStore extends Store<Kinds>, Disposable {}

/** @throws StoreError `Unavailable` if another process has the directory, or the database cannot be used. */
export function openEmbeddedStore({ directory, clock, historySize }: EmbeddedStoreOptions): EmbeddedStore {
  return embeddedStore(openDatabase(directory, clock.now()), clock, historySize);
}

/** The store over a database that is open, checked and in today's layout; the store closes it. */
export function embeddedStore(
  database: DatabaseSync,
  clock: Pick<Clock, 'now'>,
  historySize = HISTORY_SIZE,
): EmbeddedStore {
  const objects = objectTable(database);
  const events = eventTable(database);
  const history = new History(objects.version(), historySize);
  const writer = createWriter<Change>(database, (changes) => history.publish(changes));
  const now = (): string =>
    clock
      .now()
      .toISOString()
      .replace(/[.]\d+Z$/, 'Z');
  const read = reader(database);

  return {
    get: (kind, key) => read(() => objects.get(kind, checkedKey(kind, key))),
    list: (kind, { namespace, labelSelector = {} } = {}) =>
      read(() => ({
        items: objects.list(kind, namespace).filter((object) => hasLabels(object.metadata.labels, labelSelector)),
        resourceVersion: String(objects.version()),
      })),
    create: (kind, draft) => writer.submit(() => createObject(objects, kind, draft, now())),
    patch: (kind, key, patch, options = {}) => writer.submit(() => patchObject(objects, { kind, key }, patch, options)),
    delete: (kind, key, options = {}) => writer.submit(() => deleteObject(objects, { kind, key }, options, now())),
    watch: (kind, options) => history.watch(kind, options),
    recordEvent: (about, event) => writer.submit(() => ({ result: events.record(about, event, now()), changes: [] })),
    listEvents: (about) => read(() => events.list(about)),

    [Symbol.dispose]() {
      if (!database.isOpen) return;
      writer.close();
      history.close();
      database.close();
    },
  };
}

/** Runs queries, and puts their failures into the words of the port. */
const reader =
  (database: DatabaseSync) =>
  async <T>(query: () => T): Promise<T> => {
    if (!database.isOpen) throw new StoreError('Unavailable', 'the store is closed');
    try {
      return query();
    } catch (error) {
      throw toStoreError(error);
    }
  };

const hasLabels = (
  labels: Readonly<Record<string, string>> = {},
  selector: Readonly<Record<string, string>>,
): boolean => Object.entries(selector).every(([key, value]) => labels[key] === value);
