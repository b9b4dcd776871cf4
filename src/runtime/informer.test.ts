import { describe, expect, test } from '@jest/globals';
import { recordingLog } from '../../test/support/builders.ts';
import { ManualClock, settle } from '../../test/support/manual-clock.ts';
import { Informer } from './informer.ts';
import { StoreError, type ApiObject, type Store, type WatchEvent } from './store.ts';

interface Things {
  Thing: ApiObject & { readonly size?: number };
}
type Thing = Things['Thing'];

const thing = (name: string, resourceVersion: string, uid = `uid-${name}`): Thing => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: { name, uid, resourceVersion },
});

/** A server that lists what it is told to, and whose watches are fed and broken by hand. */
function server(listed: Thing[]) {
  const state = { listed, version: '10', lists: 0, watches: [] as string[], away: false };
  const feeds: { push(event: WatchEvent<Thing>): void; fail(error: unknown): void; end(): void }[] = [];
  const store: Pick<Store<Things>, 'list' | 'watch'> = {
    async list() {
      state.lists += 1;
      if (state.away) throw new StoreError('Unavailable', 'down');
      return { items: state.listed as never, resourceVersion: state.version };
    },
    async *watch(_kind, { resourceVersion, signal }) {
      state.watches.push(resourceVersion);
      if (state.away) throw new StoreError('Unavailable', 'down');
      const queue: (WatchEvent<Thing> | { error: unknown } | 'end')[] = [];
      let wake = (): void => undefined;
      const put = (item: (typeof queue)[number]) => (queue.push(item), wake());
      feeds.push({ push: put, fail: (error) => put({ error }), end: () => put('end') });
      signal.addEventListener('abort', () => put('end'));
      for (;;) {
        const item = queue.shift();
        if (item === undefined) await new Promise<void>((resolve) => (wake = resolve));
        else if (item === 'end') return;
        else if ('error' in item) throw item.error;
        else yield item as never;
      }
    },
  };
  return { store, state, feed: () => feeds.at(-1)! };
}

function following(listed: Thing[]) {
  const clock = new ManualClock();
  const log = recordingLog();
  const { store, state, feed } = server(listed);
  const informer = new Informer<Things, 'Thing'>({ store, kind: 'Thing', clock, log });
  const changes: string[] = [];
  informer.onChange(({ key, before, after }) => {
    changes.push(`${key} ${before?.metadata.resourceVersion ?? '-'}>${after?.metadata.resourceVersion ?? '-'}`);
  });
  const abort = new AbortController();
  const ended = informer.run(abort.signal);
  return { clock, log, state, feed, informer, changes, abort, ended };
}

describe('Informer', () => {
  test('lists, then follows: additions, changes and removals, each as before and after', async () => {
    const { informer, feed, changes, state } = following([thing('a', '1'), thing('b', '2')]);
    await informer.synced;
    await settle();
    feed().push({ type: 'MODIFIED', object: thing('a', '11') });
    feed().push({ type: 'ADDED', object: thing('c', '12') });
    feed().push({ type: 'DELETED', object: thing('b', '13') });
    await settle();
    expect(changes).toEqual(['a ->1', 'b ->2', 'a 1>11', 'c ->12', 'b 2>-']);
    expect(informer.list().map(({ metadata }) => metadata.name)).toEqual(['a', 'c']);
    expect(informer.get('b')).toBeUndefined();
    expect(state.watches).toEqual(['10']);
  });

  test('hands out frozen objects', async () => {
    const { informer } = following([thing('a', '1')]);
    await informer.synced;
    expect(() => Object.assign(informer.get('a')!.metadata, { name: 'x' })).toThrow(TypeError);
  });

  test('lists anew at once when its version has expired, and tells what it missed', async () => {
    const { informer, feed, changes, state, clock, log } = following([thing('a', '1'), thing('b', '2')]);
    await informer.synced;
    await clock.advance(5000);
    state.listed = [thing('b', '20'), thing('c', '21')];
    state.version = '30';
    feed().fail(new StoreError('Expired', 'too old'));
    await settle();
    expect(changes.slice(2)).toEqual(['a 1>-', 'b 2>20', 'c ->21']);
    expect(state.watches).toEqual(['10', '30']);
    expect(log.lines).toEqual([]);
  });

  test('takes an object that was made anew under its old name for another', async () => {
    const { informer, feed, changes, state, clock } = following([thing('a', '1', 'first')]);
    await informer.synced;
    await clock.advance(5000);
    state.listed = [thing('a', '1', 'second')];
    feed().fail(new StoreError('Expired', 'too old'));
    await settle();
    expect(changes).toEqual(['a ->1', 'a 1>1']);
  });

  test('goes on from where it was when the connection breaks, without a list', async () => {
    const { informer, feed, changes, state, clock } = following([thing('a', '1')]);
    await informer.synced;
    await settle();
    feed().push({ type: 'MODIFIED', object: thing('a', '11') });
    await clock.advance(5000);
    feed().fail(new StoreError('Unavailable', 'connection lost'));
    await settle();
    expect(informer.stats).toEqual({ objects: 1, lists: 1, failures: 1, following: false });
    feed().push({ type: 'MODIFIED', object: thing('a', '12') });
    await settle();
    expect(state.watches).toEqual(['10', '11']);
    expect(changes).toEqual(['a ->1', 'a 1>11', 'a 11>12']);
    expect(informer.stats).toEqual({ objects: 1, lists: 1, failures: 1, following: true });
  });

  test('survives a store that is away for long without hammering it, and then lists: its past may be another', async () => {
    const { informer, feed, changes, state, clock, log } = following([thing('a', '1')]);
    await informer.synced;
    await clock.advance(5000);
    state.away = true;
    feed().fail(new StoreError('Unavailable', 'connection lost'));
    await clock.advance(70_000);
    const asked = state.watches.length + state.lists;
    expect(asked).toBeLessThan(15);
    expect(log.lines.length).toBe(asked - 1);
    expect(informer.get('a')).toBeDefined();
    state.away = false;
    state.listed = [thing('a', '3')];
    await clock.advance(30_000);
    feed().push({ type: 'MODIFIED', object: thing('a', '40') });
    await settle();
    expect(changes).toEqual(['a ->1', 'a 1>3', 'a 3>40']);
  });

  test('goes on from where it was when the server ends the watch, bookmarks counted', async () => {
    const { informer, feed, state, clock } = following([]);
    await informer.synced;
    await settle();
    feed().push({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '77' } } });
    await clock.advance(5000);
    feed().end();
    await settle();
    expect(state.lists).toBe(1);
    expect(state.watches).toEqual(['10', '77']);
  });

  test('does not ask in a hot loop a server whose watches end at once', async () => {
    const { informer, feed, state, clock } = following([]);
    await informer.synced;
    for (let i = 0; i < 100; i++) {
      await settle();
      feed().end();
      await clock.advance(10);
    }
    expect(state.watches.length).toBeLessThan(10);
  });

  test('ends when it is told to, also while it waits to try again', async () => {
    const { informer, ended, abort, feed, clock } = following([]);
    await informer.synced;
    await settle();
    feed().fail(new StoreError('Unavailable', 'gone'));
    await settle();
    abort.abort();
    await ended;
    expect(clock.pending).toBe(0);
  });
});
