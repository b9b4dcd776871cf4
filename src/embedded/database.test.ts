import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { claimDraft, poolDraft, refusal } from '../../test/support/conformance/fixture.ts';
import { StoreError } from '../runtime/store.ts';
import { openDatabase } from './database.ts';
import { embeddedStore, openEmbeddedStore } from './store.ts';

const clock = { now: () => new Date() };
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'aquifer-database-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const file = () => join(directory, 'aquifer.db');

async function filled(claims: number): Promise<void> {
  using store = openEmbeddedStore({ directory, clock });
  await Promise.all(Array.from({ length: claims }, () => store.create('VGPUClaim', claimDraft('team-a'))));
}

describe('opening', () => {
  test('finds everything as it was, and goes on counting versions', async () => {
    await filled(3);
    using store = openEmbeddedStore({ directory, clock });
    const before = await store.list('VGPUClaim');
    expect(before.items).toHaveLength(3);
    expect(before.resourceVersion).toBe('3');
    const { metadata } = await store.create('GPUPool', poolDraft());
    expect(metadata.resourceVersion).toBe('4');
  });

  test('makes a watch from before the restart list again', async () => {
    await filled(3);
    using store = openEmbeddedStore({ directory, clock });
    const watch = store.watch('VGPUClaim', { resourceVersion: '1', signal: AbortSignal.timeout(1000) });
    await refusal(watch[Symbol.asyncIterator]().next(), 'Expired');
  });

  test('refuses a file that is no database', () => {
    writeFileSync(file(), 'not a database, but long enough to be looked at as if it were one');
    expect(() => openEmbeddedStore({ directory, clock })).toThrow('the database is damaged: restore it from a copy');
  });

  test('refuses a database with a page that was overwritten', async () => {
    await filled(200);
    const bytes = readFileSync(file());
    const middle = Math.floor(bytes.length / 4096 / 2) * 4096;
    bytes.fill(0xa5, middle, middle + 4096);
    writeFileSync(file(), bytes);
    expect(() => openEmbeddedStore({ directory, clock })).toThrow(/is damaged/);
  });

  test('refuses the layout of a newer version, and leaves it as it is', async () => {
    await filled(1);
    const database = new DatabaseSync(file());
    database.exec("INSERT INTO migrations VALUES (99, '2030-01-01T00:00:00Z')");
    database.close();
    const open = () => openEmbeddedStore({ directory, clock });
    expect(open).toThrow('written by a newer version of Aquifer: its layout is 99');
    expect(open).toThrow(StoreError);
    using raw = new DatabaseSync(file());
    expect(raw.prepare('SELECT count(*) AS n FROM objects').get()).toEqual({ n: 1 });
  });

  test('makes every commit durable before it is acknowledged', () => {
    using database = openDatabase(directory, clock.now());
    expect(database.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 });
    expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
  });
});

describe('a full database', () => {
  test('refuses the writes that do not fit, whole, and takes writes again when there is room', async () => {
    const database = openDatabase(directory, clock.now());
    using store = embeddedStore(database, clock);
    database.exec('PRAGMA max_page_count = 40');
    const seen: string[] = [];
    const stop = new AbortController();
    const watching = (async () => {
      for await (const event of store.watch('VGPUClaim', { resourceVersion: '0', signal: stop.signal })) {
        if (event.type !== 'BOOKMARK') seen.push(event.object.metadata.name);
      }
    })();

    const acknowledged: string[] = [];
    let refused: StoreError | undefined;
    while (refused === undefined) {
      const drafts = Array.from({ length: 3 }, () =>
        claimDraft('team-a', {
          spec: { gpuSelector: { model: Array.from({ length: 16 }, (_, i) => `${i}`.repeat(60)) } },
        }),
      );
      const outcomes = await Promise.allSettled(drafts.map((draft) => store.create('VGPUClaim', draft)));
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') acknowledged.push(outcome.value.metadata.name);
        else refused = outcome.reason as StoreError;
      }
    }
    expect(refused).toMatchObject({
      code: 'Unavailable',
      message: 'the disk that holds the database is full: nothing was written',
    });
    const names = async () => (await store.list('VGPUClaim')).items.map((claim) => claim.metadata.name).toSorted();
    expect(await names()).toEqual(acknowledged.toSorted());

    database.exec('PRAGMA max_page_count = 100000');
    const later = await store.create('VGPUClaim', claimDraft('team-a'));
    expect(await names()).toEqual([...acknowledged, later.metadata.name].toSorted());
    stop.abort();
    await watching;
    expect(seen).toEqual([...acknowledged, later.metadata.name]);
  });
});

describe('closing', () => {
  test('finishes what was submitted, and refuses what comes later', async () => {
    const store = openEmbeddedStore({ directory, clock });
    const pending = store.create('GPUPool', poolDraft());
    store[Symbol.dispose]();
    store[Symbol.dispose]();
    const pool = await pending;
    await refusal(store.create('GPUPool', poolDraft()), 'Unavailable');
    await refusal(store.list('GPUPool'), 'Unavailable');
    using again = openEmbeddedStore({ directory, clock });
    expect((await again.list('GPUPool')).items).toEqual([pool]);
  });

  test('ends every watch with Unavailable', async () => {
    const store = openEmbeddedStore({ directory, clock });
    const watch = store.watch('GPUPool', { resourceVersion: '0', signal: AbortSignal.timeout(5000) });
    const next = watch[Symbol.asyncIterator]().next();
    store[Symbol.dispose]();
    await refusal(next, 'Unavailable');
  });
});
