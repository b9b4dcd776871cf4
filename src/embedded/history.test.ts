import { expect, test } from '@jest/globals';
import { refusal } from '../../test/support/conformance/fixture.ts';
import type { Kinds } from '../api/kinds.ts';
import { History, type Change } from './history.ts';

const change = (version: number, kind: 'GPUPool' | 'GPUNode' = 'GPUPool'): Change => ({
  version,
  type: 'ADDED',
  kind,
  object: {
    kind,
    metadata: { name: `o${version}`, resourceVersion: String(version) },
  } as unknown as Kinds[typeof kind],
});

const changes = (from: number, to: number, kind?: 'GPUPool' | 'GPUNode') =>
  Array.from({ length: to - from + 1 }, (_, i) => change(from + i, kind));

function watching(history: History, resourceVersion: number, kind: 'GPUPool' | 'GPUNode' = 'GPUPool') {
  const controller = new AbortController();
  const watch = history.watch(kind, { resourceVersion: String(resourceVersion), signal: controller.signal });
  const next = async () => {
    const { value, done } = await watch.next();
    return done === true ? 'end' : `${value.type} ${value.object.metadata.resourceVersion}`;
  };
  return { next, stop: () => controller.abort() };
}

test('keeps at least its size of changes for those who lag', async () => {
  const history = new History(100, 8);
  history.publish(changes(101, 140));
  const lagging = watching(history, 132);
  for (let version = 133; version <= 140; version++) expect(await lagging.next()).toBe(`ADDED ${version}`);
  await refusal(watching(history, 100).next(), 'Expired');
});

test('expires a watch that falls behind while it runs', async () => {
  const history = new History(0, 4);
  history.publish(changes(1, 2));
  const slow = watching(history, 0);
  expect(await slow.next()).toBe('ADDED 1');
  history.publish(changes(3, 40));
  await refusal(slow.next(), 'Expired');
});

test('expires a version that was never given out: the database was put back', async () => {
  await refusal(watching(new History(5, 8), 6).next(), 'Expired');
});

test.each(['', '-1', '1.5', 'abc', '9'.repeat(30)])('refuses the version %j', async (resourceVersion) => {
  const watch = new History(0, 8).watch('GPUPool', { resourceVersion, signal: new AbortController().signal });
  await refusal(watch.next(), 'Invalid');
});

test('tells a watch of a quiet kind how far it has come, so that it does not expire', async () => {
  const history = new History(0, 16);
  const quiet = watching(history, 0, 'GPUNode');
  for (let version = 1; version <= 200; version += 2) {
    const next = quiet.next();
    history.publish(changes(version, version + 1));
    expect(await next).toBe(`BOOKMARK ${version + 1}`);
  }
  const last = quiet.next();
  history.publish([change(201, 'GPUNode')]);
  expect(await last).toBe('ADDED 201');
});

test('a bookmark is a version from which a watch can go on', async () => {
  const history = new History(0, 16);
  const quiet = watching(history, 0, 'GPUNode');
  const bookmark = quiet.next();
  history.publish(changes(1, 2));
  expect(await bookmark).toBe('BOOKMARK 2');
  history.publish(changes(3, 33));
  history.publish([change(34, 'GPUNode')]);
  const resumed = watching(history, 2, 'GPUNode');
  await refusal(resumed.next(), 'Expired');
  expect(await watching(history, 33, 'GPUNode').next()).toBe('ADDED 34');
});

test('wakes every watch for each change, and lets one stop alone', async () => {
  const history = new History(0, 16);
  const first = watching(history, 0);
  const second = watching(history, 0);
  const pending = [first.next(), second.next()];
  first.stop();
  expect(await pending[0]).toBe('end');
  history.publish([change(1)]);
  expect(await pending[1]).toBe('ADDED 1');
  expect(await first.next()).toBe('end');
});
