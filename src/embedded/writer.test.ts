import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../runtime/store.ts';
import { createWriter } from './writer.ts';

let database: DatabaseSync;
beforeEach(() => {
  database = new DatabaseSync(':memory:');
  database.exec('CREATE TABLE numbers (n INTEGER PRIMARY KEY) STRICT');
});
afterEach(() => {
  if (database.isOpen) database.close();
});

const insert = (n: number) => () => {
  database.prepare('INSERT INTO numbers VALUES (?)').run(n);
  return { result: n, changes: [n] };
};

const stored = () =>
  database
    .prepare('SELECT n FROM numbers ORDER BY n')
    .all()
    .map((row) => Number(row['n']));

test('publishes the changes of a commit before it answers, in the order of the work', async () => {
  const told: string[] = [];
  const writer = createWriter<number>(database, (changes) => told.push(`published ${changes.join()}`));
  await Promise.all([3, 1, 2].map((n) => writer.submit(insert(n)).then((result) => told.push(`answered ${result}`))));
  expect(told).toEqual(['published 3,1,2', 'answered 3', 'answered 1', 'answered 2']);
});

test('undoes the work that was refused, and that alone', async () => {
  const published: number[] = [];
  const writer = createWriter<number>(database, (changes) => published.push(...changes));
  const refusing = writer.submit(() => {
    insert(7)();
    throw new StoreError('Conflict', 'moved on');
  });
  const failing = writer.submit(() => {
    insert(8)();
    throw new TypeError('a bug');
  });
  const outcomes = await Promise.allSettled([writer.submit(insert(1)), refusing, failing, writer.submit(insert(2))]);
  expect(outcomes).toMatchObject([
    { value: 1 },
    { reason: { code: 'Conflict' } },
    { reason: { code: 'Unavailable', message: 'the database failed: a bug' } },
    { value: 2 },
  ]);
  expect(stored()).toEqual([1, 2]);
  expect(published).toEqual([1, 2]);
});

test('fails everything of a transaction that SQLite failed, publishes nothing, and goes on', async () => {
  const published: number[] = [];
  const writer = createWriter<number>(database, (changes) => published.push(...changes));
  const twice = await Promise.allSettled([writer.submit(insert(1)), writer.submit(insert(1))]);
  expect(twice).toMatchObject([{ reason: { code: 'Unavailable' } }, { reason: { code: 'Unavailable' } }]);
  expect(stored()).toEqual([]);
  expect(published).toEqual([]);
  expect(await writer.submit(insert(1))).toBe(1);
  expect(published).toEqual([1]);
});

test('takes more work than one transaction holds', async () => {
  const writer = createWriter<number>(database, () => undefined);
  const all = Array.from({ length: 1000 }, (_, n) => n);
  expect(await Promise.all(all.map((n) => writer.submit(insert(n))))).toEqual(all);
  expect(stored()).toEqual(all);
});

test('does on closing what was submitted, and nothing afterwards', async () => {
  const writer = createWriter<number>(database, () => undefined);
  const pending = writer.submit(insert(1));
  writer.close();
  expect(await pending).toBe(1);
  await expect(writer.submit(insert(2))).rejects.toMatchObject({ code: 'Unavailable' });
  expect(stored()).toEqual([1]);
});
