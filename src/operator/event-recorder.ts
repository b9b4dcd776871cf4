import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { EventDraft, ObjectReference, Store } from '../runtime/store.ts';
import type { EventSink } from './ports.ts';

const REPEAT_MS = 60_000;
const REMEMBERED = 10_000; // Objects whose last event is remembered: some 2 MiB.

export interface EventRecorderOptions {
  readonly store: Pick<Store<never>, 'recordEvent'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Records events in the background. The same event of the same object is recorded once a minute at most. */
export function eventRecorder({ store, clock, log }: EventRecorderOptions): EventSink {
  const last = new Map<string, { readonly text: string; readonly atMs: number }>();
  return {
    record(about, event) {
      const id = `${about.kind}/${about.uid ?? `${about.namespace ?? ''}/${about.name}`}`;
      const text = textOf(event);
      const atMs = clock.now().getTime();
      const before = last.get(id);
      if (before?.text === text && atMs - before.atMs < REPEAT_MS) return;
      last.delete(id);
      last.set(id, { text, atMs });
      forgetOldest(last);
      store.recordEvent(about, event).catch((err: unknown) => {
        log.warn('event not recorded', { object: nameOf(about), reason: event.reason, err });
      });
    },
  };
}

const textOf = ({ type, reason, message }: EventDraft): string => JSON.stringify([type, reason, message]);

const nameOf = ({ namespace, name }: ObjectReference): string =>
  namespace === undefined ? name : `${namespace}/${name}`;

function forgetOldest(last: Map<string, unknown>): void {
  if (last.size <= REMEMBERED) return;
  const [oldest] = last.keys();
  if (oldest !== undefined) last.delete(oldest);
}
