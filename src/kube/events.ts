import { createHash } from 'node:crypto';
import { API_VERSION } from '../api/meta.ts';
import type { Clock } from '../lib/clock.ts';
import { isStoreError, type EventDraft, type EventRecord, type ObjectReference, type Store } from '../runtime/store.ts';
import type { Connection } from './connection.ts';
import { collectionPath, objectPath, query, type Resource } from './resource.ts';

const EVENTS: Resource = { apiVersion: 'v1', kind: 'Event', plural: 'events', namespaced: true };
const MAX_MESSAGE = 1024; // The API server's own limit.
const MAX_NAME_PART = 180;

export interface EventStoreOptions {
  readonly connection: Pick<Connection, 'call'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly manager: string;
}

interface StoredEvent {
  readonly metadata: { readonly resourceVersion: string };
  readonly type: EventDraft['type'];
  readonly reason: string;
  readonly message: string;
  /** Whoever writes events of the newer API leaves it out. */
  readonly count?: number;
  readonly firstTimestamp: string;
  readonly lastTimestamp: string;
}

/** Events as `kubectl describe` shows them. Equal ones have the same name, whichever replica writes them. */
export function eventStore(options: EventStoreOptions): Pick<Store<never>, 'recordEvent' | 'listEvents'> {
  const { connection, clock, manager } = options;
  return {
    async recordEvent(about, draft) {
      const event = eventOf(about, draft, { manager, time: clock.now().toISOString() });
      const path = collectionPath(EVENTS, event.metadata.namespace);
      try {
        await connection.call({ method: 'POST', path, body: event });
      } catch (error) {
        if (!isStoreError(error, 'AlreadyExists')) throw error;
        await countUp(connection, event);
      }
    },

    async listEvents(about) {
      const selector = [`involvedObject.kind=${about.kind}`, `involvedObject.name=${about.name}`];
      if (about.uid !== undefined) selector.push(`involvedObject.uid=${about.uid}`);
      const path = `${collectionPath(EVENTS, namespaceOf(about))}${query({ fieldSelector: selector.join(',') })}`;
      const { items } = (await connection.call({ method: 'GET', path })) as { readonly items: readonly StoredEvent[] };
      return items.toSorted(byLastWrite).map(recordOf);
    },
  };
}

/** Counts on from what is stored, under its version: two replicas that count at once both count. */
async function countUp(connection: Pick<Connection, 'call'>, event: ReturnType<typeof eventOf>): Promise<void> {
  const path = objectPath(EVENTS, event.metadata);
  for (;;) {
    const { metadata, count } = (await connection.call({ method: 'GET', path })) as StoredEvent;
    const { resourceVersion } = metadata;
    const body = { metadata: { resourceVersion }, count: (count ?? 1) + 1, lastTimestamp: event.lastTimestamp };
    try {
      await connection.call({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' });
      return;
    } catch (error) {
      if (!isStoreError(error, 'Conflict')) throw error;
    }
  }
}

function eventOf(
  about: ObjectReference,
  { type, reason, message }: EventDraft,
  { manager, time }: { readonly manager: string; readonly time: string },
) {
  const { apiVersion = API_VERSION, kind, namespace, name, uid } = about;
  const identity = createHash('sha256').update(JSON.stringify([kind, uid, type, reason, message, manager]));
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: {
      namespace: namespaceOf(about),
      name: `${name.slice(0, MAX_NAME_PART)}.${identity.digest('hex').slice(0, 16)}`,
    },
    involvedObject: { apiVersion, kind, namespace, name, uid },
    type,
    reason,
    message: message.slice(0, MAX_MESSAGE),
    source: { component: manager },
    count: 1,
    firstTimestamp: time,
    lastTimestamp: time,
  };
}

/** Events of objects that belong to no namespace are kept in `default`, where `kubectl describe` looks for them. */
const namespaceOf = ({ namespace }: ObjectReference): string => namespace ?? 'default';

/** Times are whole seconds; the version is the order of the writes. */
function byLastWrite({ metadata: a }: StoredEvent, { metadata: b }: StoredEvent): number {
  const [x, y] = [BigInt(a.resourceVersion), BigInt(b.resourceVersion)];
  return x < y ? -1 : x > y ? 1 : 0;
}

const recordOf = ({ type, reason, message, count = 1, firstTimestamp, lastTimestamp }: StoredEvent): EventRecord => {
  return { type, reason, message, count, firstTimestamp, lastTimestamp };
};
