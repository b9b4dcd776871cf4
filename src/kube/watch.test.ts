import { describe, expect, test } from '@jest/globals';
import type { ServerResponse } from 'node:http';
import { refusal as refused } from '../../test/support/conformance/fixture.ts';
import { eventually } from '../../test/support/eventually.ts';
import { fakeApi, json, plainConfig, refusal, type Answerer } from '../../test/support/fake-api.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { connect } from './connection.ts';
import { SILENCE_MS, watchEvents } from './watch.ts';

const CALL = { method: 'GET', path: '/apis/x?watch=1' } as const;

async function watching(answer: Answerer) {
  const api = await fakeApi(answer);
  const clock = new ManualClock();
  const connection = connect({ loadConfig: () => plainConfig(api.port), clock });
  const stop = new AbortController();
  const seen: string[] = [];
  const ended = (async () => {
    for await (const { type, object } of watchEvents({ connection, clock }, CALL, stop.signal)) {
      seen.push(`${type} ${String(object)}`);
    }
  })();
  ended.catch(() => undefined);
  const dispose = async (): Promise<void> => {
    stop.abort();
    connection[Symbol.dispose]();
    await api[Symbol.asyncDispose]();
  };
  const saw = (count: number) =>
    eventually(
      () => [...seen],
      ({ length }) => length >= count,
    );
  return { api, clock, stop, seen, saw, ended, [Symbol.asyncDispose]: dispose };
}

/** A response that is written by hand. */
function byHand() {
  const opened = Promise.withResolvers<ServerResponse>();
  return { answer: ((_request, response) => opened.resolve(response)) satisfies Answerer, opened: opened.promise };
}

const line = (type: string, object: unknown): string => `${JSON.stringify({ type, object })}\n`;

describe('watchEvents', () => {
  test('gives events in whatever pieces they come, until the server ends the watch', async () => {
    const { answer, opened } = byHand();
    await using t = await watching(answer);
    const response = await opened;
    response.write(line('ADDED', 'a') + line('MODIFIED', 'b').slice(0, 10));
    expect(await t.saw(1)).toEqual(['ADDED a']);
    response.end(line('MODIFIED', 'b').slice(10) + line('BOOKMARK', 'c'));
    await t.ended;
    expect(t.seen).toEqual(['ADDED a', 'MODIFIED b', 'BOOKMARK c']);
  });

  test('says Expired of a version that is too old, before the watch and within it', async () => {
    const gone = refusal(410, 'Expired', 'too old resource version');
    await using before = await watching((_request, response) => json(response, 410, gone));
    await refused(before.ended, 'Expired');
    await using within = await watching((_request, response) => response.end(line('ERROR', gone)));
    await refused(within.ended, 'Expired');
  });

  test('says Unavailable when the connection breaks', async () => {
    const { answer, opened } = byHand();
    await using t = await watching(answer);
    (await opened).write(line('ADDED', 'a'));
    await t.saw(1);
    t.api.cut();
    await refused(t.ended, 'Unavailable');
  });

  test('takes a watch for dead that is silent for longer than the server ever is', async () => {
    const { answer, opened } = byHand();
    await using t = await watching(answer);
    const response = await opened;
    for (let i = 1; i <= 3; i++) {
      await t.clock.advance(SILENCE_MS - 1);
      response.write(line('BOOKMARK', i));
      await t.saw(i);
    }
    await t.clock.advance(SILENCE_MS);
    expect((await refused(t.ended, 'Unavailable')).message).toMatch(/silent for 180 s/);
    expect(t.clock.pending).toBe(0);
  });

  test('takes a server for dead that does not even begin to answer', async () => {
    await using t = await watching(() => undefined);
    await eventually(
      () => t.api.requests.length,
      (count) => count === 1,
    );
    await t.clock.advance(SILENCE_MS);
    await refused(t.ended, 'Unavailable');
  });

  test('ends without an error when its signal says so', async () => {
    const { answer, opened } = byHand();
    await using t = await watching(answer);
    (await opened).write(line('ADDED', 'a'));
    await t.saw(1);
    t.stop.abort();
    await t.ended;
  });

  test('says Unavailable of what is no event', async () => {
    await using t = await watching((_request, response) => response.end('<html>\n'));
    await refused(t.ended, 'Unavailable');
  });
});
