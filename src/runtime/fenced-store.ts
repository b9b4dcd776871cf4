import { StoreError, type KindTable, type Store } from './store.ts';

/**
 * The store as one leader may use it: once it leads no more, its writes are refused before they are sent. What was sent
 * just before may still land; that every write names the version it was decided on is what makes that harmless.
 */
export function fencedStore<Kinds extends KindTable<Kinds>>(store: Store<Kinds>, holds: () => boolean): Store<Kinds> {
  const fenced = async <T>(write: () => Promise<T>): Promise<T> => {
    if (holds()) return write();
    throw new StoreError('Unavailable', 'this replica does not lead any more');
  };
  return {
    get: (kind, key) => store.get(kind, key),
    list: (kind, options) => store.list(kind, options),
    watch: (kind, options) => store.watch(kind, options),
    listEvents: (about) => store.listEvents(about),
    create: (kind, object) => fenced(() => store.create(kind, object)),
    patch: (kind, key, patch, options) => fenced(() => store.patch(kind, key, patch, options)),
    delete: (kind, key, options) => fenced(() => store.delete(kind, key, options)),
    recordEvent: (about, event) => fenced(() => store.recordEvent(about, event)),
  };
}
