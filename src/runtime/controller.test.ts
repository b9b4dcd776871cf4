import { describe, expect, test } from '@jest/globals';
import { recordingLog } from '../../test/support/builders.ts';
import { ManualClock, settle } from '../../test/support/manual-clock.ts';
import { done, retryAfter, runController, TerminalError, type Outcome, type Pass } from './controller.ts';
import { WorkQueue } from './queue.ts';
import { StoreError } from './store.ts';

/** Runs a controller over the objects `a` and `b`; `reconcile` is asked for each pass. */
function running(reconcile: (object: string, pass: number) => Promise<Outcome>, concurrency = 1) {
  const clock = new ManualClock();
  const log = recordingLog();
  const queue = new WorkQueue(clock);
  const abort = new AbortController();
  const passes: Pass[] = [];
  let count = 0;
  const ended = runController(
    { name: 'test', concurrency, reconcile: (object: string) => reconcile(object, ++count) },
    {
      queue,
      clock,
      log,
      signal: abort.signal,
      read: (key) => (['a', 'b'].includes(key) ? key : undefined),
      onPass: (pass) => passes.push(pass),
    },
  );
  return { clock, log, queue, abort, ended, results: () => passes.map(({ result }) => result) };
}

describe('runController', () => {
  test('does nothing for an object that is gone', async () => {
    const { queue, results } = running(() => Promise.reject(new Error('was asked')));
    queue.add('gone');
    await settle();
    expect(results()).toEqual(['Done']);
  });

  test('looks again after the time that the pass asked for', async () => {
    const { queue, clock, results } = running(async (_object, pass) => (pass === 1 ? retryAfter(1000) : done));
    queue.add('a');
    await clock.advance(999);
    expect(results()).toEqual(['Retry']);
    await clock.advance(1);
    expect(results()).toEqual(['Retry', 'Done']);
  });

  test('retries a failure later each time, and logs it with its object', async () => {
    const err = new Error('no luck');
    const { queue, clock, results, log } = running((_object, pass) =>
      pass < 4 ? Promise.reject(err) : Promise.resolve(done),
    );
    queue.add('a');
    await clock.advance(50 + 100 + 199);
    expect(results()).toEqual(['Failed', 'Failed', 'Failed']);
    await clock.advance(1);
    expect(results()).toEqual(['Failed', 'Failed', 'Failed', 'Done']);
    expect(log.lines[0]).toEqual({
      level: 'warn',
      text: 'reconcile failed',
      fields: { controller: 'test', object: 'a', delayMs: 50, err },
    });
  });

  test('takes a conflict for what it is: no reason to warn', async () => {
    const { queue, clock, results, log } = running((_object, pass) =>
      pass === 1 ? Promise.reject(new StoreError('Conflict', 'moved on')) : Promise.resolve(done),
    );
    queue.add('a');
    await clock.advance(1000);
    expect(results()).toEqual(['Conflict', 'Done']);
    expect(log.lines.map(({ level }) => level)).toEqual(['debug']);
  });

  test('does not retry a terminal error until the object changes', async () => {
    const { queue, clock, results } = running(() => Promise.reject(new TerminalError('never')));
    queue.add('a');
    await clock.advance(3_600_000);
    expect(results()).toEqual(['Terminal']);
    queue.add('a');
    await settle();
    expect(results()).toEqual(['Terminal', 'Terminal']);
  });

  test('works on several objects at once, but never twice on one', async () => {
    const gate = Promise.withResolvers<Outcome>();
    const inWork: string[] = [];
    const { queue } = running((object) => (inWork.push(object), gate.promise), 4);
    for (const key of ['a', 'a', 'b']) queue.add(key);
    queue.add('a');
    await settle();
    expect(inWork).toEqual(['a', 'b']);
    gate.resolve(done);
    await settle();
    expect(inWork).toEqual(['a', 'b', 'a']);
  });

  test('ends when it is told to, after the pass in work', async () => {
    const gate = Promise.withResolvers<Outcome>();
    const { queue, abort, ended, results } = running(() => gate.promise);
    queue.add('a');
    queue.add('b');
    await settle();
    abort.abort();
    let over = false;
    void ended.then(() => (over = true));
    await settle();
    expect(over).toBe(false);
    gate.resolve(done);
    await ended;
    expect(results()).toEqual(['Done']);
  });
});
