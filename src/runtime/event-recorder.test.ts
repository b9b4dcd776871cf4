import { describe, expect, test } from '@jest/globals';
import { recordingLog } from '../../test/support/builders.ts';
import { ManualClock, settle } from '../../test/support/manual-clock.ts';
import { eventRecorder } from './event-recorder.ts';
import { StoreError, type EventDraft, type ObjectReference } from './store.ts';

const about = (name: string): ObjectReference => ({ kind: 'Thing', namespace: 'n', name, uid: `uid-${name}` });
const waits = (message = 'no room'): EventDraft => ({ type: 'Warning', reason: 'Waits', message });

function recording(store?: () => Promise<void>) {
  const clock = new ManualClock();
  const log = recordingLog();
  const recorded: string[] = [];
  const recordEvent = (to: ObjectReference, event: EventDraft): Promise<void> => {
    recorded.push(`${to.name} ${event.message}`);
    return store === undefined ? Promise.resolve() : store();
  };
  return { clock, log, recorded, events: eventRecorder({ store: { recordEvent }, clock, log }) };
}

describe('eventRecorder', () => {
  test('records the same event of the same object once a minute', async () => {
    const { clock, recorded, events } = recording();
    const all = () => [about('a'), about('b')].forEach((object) => events.record(object, waits()));
    all();
    all();
    await clock.advance(59_999);
    all();
    await settle();
    expect(recorded).toEqual(['a no room', 'b no room']);
    await clock.advance(1);
    all();
    await settle();
    expect(recorded).toHaveLength(4);
  });

  test('hears an object that flaps twenty times, then once a minute, and others as before', async () => {
    const { clock, recorded, events } = recording();
    for (let i = 0; i < 100; i++) events.record(about('a'), waits(`${i}`));
    events.record(about('b'), waits());
    await settle();
    expect(recorded).toHaveLength(21);
    expect(recorded.at(-1)).toBe('b no room');
    for (let i = 0; i < 10; i++) {
      await clock.advance(60_000);
      for (let j = 0; j < 10; j++) events.record(about('a'), waits(`${i}-${j}`));
    }
    await settle();
    expect(recorded).toHaveLength(31);
  });

  test('has four writes under way at a time, and drops what is too much', async () => {
    const gate = Promise.withResolvers<void>();
    const { log, recorded, events } = recording(() => gate.promise);
    for (let i = 0; i < 2010; i++) events.record(about(`${i}`), waits());
    await settle();
    expect(recorded).toHaveLength(4);
    expect(log.lines.map(({ text }) => text)).toEqual(Array<string>(6).fill('event dropped: too many wait'));
    gate.resolve();
    await settle();
    expect(recorded).toHaveLength(2004);
  });

  test('goes on after a write that failed', async () => {
    const { log, recorded, events } = recording(() => Promise.reject(new StoreError('Unavailable', 'away')));
    events.record(about('a'), waits());
    await settle();
    events.record(about('b'), waits());
    await settle();
    expect(recorded).toHaveLength(2);
    expect(log.lines.map(({ text }) => text)).toEqual(['event not recorded', 'event not recorded']);
  });
});
