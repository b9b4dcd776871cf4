import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { keyText, type EventDraft, type ObjectReference, type Store } from './store.ts';

const REPEAT_MS = 60_000;
const BURST = 20; // More than a claim sees in its life, unless something flaps.
const REFILL_MS = 60_000;
const REMEMBERED = 10_000; // Objects whose last event is remembered: some 2 MiB.
const IN_FLIGHT = 4; // Events go beside the writes that matter, and must not crowd them out.
const QUEUED = 2000;

/** Where events go. An event that cannot be recorded holds up nothing. */
export interface EventSink {
  record(about: ObjectReference, event: EventDraft): void;
}

export interface EventRecorderOptions {
  readonly store: Pick<Store<never>, 'recordEvent'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** What was recorded of one object. */
interface Memory {
  readonly text: string;
  readonly atMs: number;
  /** Events that it may still record at once; one more each minute. */
  readonly tokens: number;
}

/**
 * Records events in the background, a few at a time. The same event of the same object is recorded once a minute at most,
 * an object that changes its mind all the time is heard once a minute, and what is too much in all is dropped and logged.
 */
export function eventRecorder({ store, clock, log }: EventRecorderOptions): EventSink {
  const memories = new Map<string, Memory>();
  const waiting: { readonly about: ObjectReference; readonly event: EventDraft }[] = [];
  let inFlight = 0;

  const send = async (): Promise<void> => {
    inFlight += 1;
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { about, event } = next;
      await store.recordEvent(about, event).catch((err: unknown) => {
        log.warn('event not recorded', { object: keyText(about), reason: event.reason, err });
      });
    }
    inFlight -= 1;
  };

  return {
    record(about, event) {
      const id = `${about.kind}/${about.uid ?? keyText(about)}`;
      const memory = remembered(memories.get(id), event, clock.now().getTime());
      if (memory === undefined) return;
      memories.delete(id); // The map is in the order of the last events.
      memories.set(id, memory);
      forgetOldest(memories);
      if (waiting.length >= QUEUED) {
        log.warn('event dropped: too many wait', { object: keyText(about), reason: event.reason });
        return;
      }
      waiting.push({ about, event });
      if (inFlight < IN_FLIGHT) void send();
    },
  };
}

/** What is remembered once the event is recorded; undefined: it is not to be recorded. */
function remembered(before: Memory | undefined, event: EventDraft, atMs: number): Memory | undefined {
  const text = JSON.stringify([event.type, event.reason, event.message]);
  if (before === undefined) return { text, atMs, tokens: BURST - 1 };
  if (before.text === text && atMs - before.atMs < REPEAT_MS) return undefined;
  const tokens = Math.min(BURST, before.tokens + (atMs - before.atMs) / REFILL_MS);
  return tokens < 1 ? undefined : { text, atMs, tokens: tokens - 1 };
}

function forgetOldest(memories: Map<string, Memory>): void {
  if (memories.size <= REMEMBERED) return;
  const [oldest] = memories.keys();
  if (oldest !== undefined) memories.delete(oldest);
}
