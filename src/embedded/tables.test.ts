import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { DatabaseSync } from 'node:sqlite';
import { migrate } from './migrations.ts';
import { eventTable } from './tables.ts';

let database: DatabaseSync;
beforeEach(() => {
  database = new DatabaseSync(':memory:');
  migrate(database, new Date());
});
afterEach(() => database.close());

const about = (name: string) => ({ kind: 'VGPUClaim', namespace: 'team-a', name, uid: 'u' });
const event = (message: string) => ({ type: 'Normal', reason: 'Bound', message }) as const;

test('an object keeps its 50 latest events; a repeated one counts as late', () => {
  const events = eventTable(database);
  for (let i = 0; i < 60; i++) {
    events.record(about('a'), event(`m${i}`), '2026-01-01T00:00:00Z');
    events.record(about('a'), event('m0'), '2026-01-01T00:00:01Z');
  }
  const kept = events.list(about('a'));
  expect(kept).toHaveLength(50);
  expect(kept.at(-1)).toEqual({
    ...event('m0'),
    count: 61,
    firstTimestamp: '2026-01-01T00:00:00Z',
    lastTimestamp: '2026-01-01T00:00:01Z',
  });
  expect(kept[0]?.message).toBe('m11');
});

test('events are bounded in all: the oldest make room', () => {
  const events = eventTable(database);
  database.exec('BEGIN');
  for (let i = 0; i < 5100; i++) events.record(about(`c${i}`), event('m'), '2026-01-01T00:00:00Z');
  database.exec('COMMIT');
  expect(database.prepare('SELECT count(*) AS n FROM events').get()).toEqual({ n: 5000 });
  expect(events.list(about('c99'))).toEqual([]);
  expect(events.list(about('c100'))).toHaveLength(1);
});

test('migrating twice changes nothing', () => {
  migrate(database, new Date());
  expect(database.prepare('SELECT version FROM migrations').all()).toEqual([{ version: 1 }]);
});
