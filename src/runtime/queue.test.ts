import { describe, expect, test } from '@jest/globals';
import { ManualClock, settle } from '../../test/support/manual-clock.ts';
import { WorkQueue } from './queue.ts';

/** A queue whose keys are taken and done as they come, and the list of what was taken. */
function draining(backoff = {}) {
  const clock = new ManualClock();
  const queue = new WorkQueue(clock, backoff);
  const taken: string[] = [];
  const run = async (): Promise<void> => {
    for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
      taken.push(key);
      queue.done(key);
    }
  };
  return { clock, queue, taken, run };
}

describe('WorkQueue', () => {
  test('gives a key that was added several times once, in the order of asking', async () => {
    const { queue, taken, run } = draining();
    for (const key of ['a', 'b', 'a', 'a']) queue.add(key);
    expect(queue.depth).toBe(2);
    void run();
    await settle();
    expect(taken).toEqual(['a', 'b']);
  });

  test('gives a key that is added while in work once more, and only when it is done', async () => {
    const queue = new WorkQueue(new ManualClock());
    queue.add('a');
    expect(await queue.take()).toBe('a');
    queue.add('a');
    queue.add('a');
    let second: string | undefined;
    void queue.take().then((key) => (second = key));
    await settle();
    expect(second).toBeUndefined();
    queue.done('a');
    await settle();
    expect(second).toBe('a');
    expect(queue.depth).toBe(0);
  });

  test('keeps the earliest of several times, and an immediate pass replaces them', async () => {
    const { clock, queue, taken, run } = draining();
    void run();
    queue.addAfter('a', 500);
    queue.addAfter('a', 100);
    queue.addAfter('a', 900);
    await clock.advance(99);
    expect(taken).toEqual([]);
    await clock.advance(1);
    expect(taken).toEqual(['a']);
    queue.addAfter('a', 100);
    queue.add('a');
    await clock.advance(1000);
    expect(taken).toEqual(['a', 'a']);
    expect(clock.pending).toBe(0);
  });

  test('doubles the delay of a key with each failure up to the cap, and begins anew after forget', () => {
    const queue = new WorkQueue(new ManualClock(), { baseMs: 10, capMs: 60 });
    expect([1, 2, 3, 4, 5].map(() => queue.retry('a'))).toEqual([10, 20, 40, 60, 60]);
    expect(queue.retry('b')).toBe(10);
    queue.forget('a');
    expect(queue.retry('a')).toBe(10);
  });

  test('lets everybody go when it is closed, and leaves no timer', async () => {
    const clock = new ManualClock();
    const queue = new WorkQueue(clock);
    queue.addAfter('a', 100);
    const waiting = Promise.all([queue.take(), queue.take()]);
    queue.close();
    expect(await waiting).toEqual([undefined, undefined]);
    queue.add('b');
    expect(await queue.take()).toBeUndefined();
    expect(clock.pending).toBe(0);
  });
});
