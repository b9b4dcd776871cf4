import { describe, expect, test } from '@jest/globals';
import { refusal as refused } from '../../test/support/conformance/fixture.ts';
import { eventually } from '../../test/support/eventually.ts';
import { fakeApi, json, plainConfig, refusal, type Answerer } from '../../test/support/fake-api.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { StoreError } from '../runtime/store.ts';
import { connect } from './connection.ts';

const GET = { method: 'GET', path: '/apis/x' } as const;
const POST = { method: 'POST', path: '/apis/x', body: {} } as const;

async function connected(answer: Answerer, user: () => object = () => ({})) {
  const api = await fakeApi(answer);
  const clock = new ManualClock();
  const connection = connect({ loadConfig: () => plainConfig(api.port, user()), clock });
  const dispose = async (): Promise<void> => {
    connection[Symbol.dispose]();
    await api[Symbol.asyncDispose]();
  };
  return { api, clock, connection, [Symbol.asyncDispose]: dispose };
}

const codeOf = (error: unknown): string => (error instanceof StoreError ? error.code : String(error));

const fine: Answerer = (_request, response) => json(response, 200, { fine: true });

describe('connections', () => {
  test('300 requests, 16 at a time, take 16 connections', async () => {
    await using t = await connected(fine);
    for (let i = 0; i < 300; i += 16) {
      await Promise.all(Array.from({ length: 16 }, () => t.connection.call(POST)));
    }
    expect(t.api.accepted()).toBe(16);
  });

  test('requests one by one take one, and so do those after other credentials came', async () => {
    let token = 'first';
    await using t = await connected(fine, () => ({ token }));
    for (let i = 0; i < 5; i++) await t.connection.call(GET);
    token = 'second';
    await t.clock.advance(60_000);
    for (let i = 0; i < 5; i++) await t.connection.call(GET);
    expect(t.api.accepted()).toBe(1);
    expect(t.api.requests.map(({ authorization }) => authorization)).toEqual([
      ...Array<string>(5).fill('Bearer first'),
      ...Array<string>(5).fill('Bearer second'),
    ]);
  });

  test('the body of a DELETE is not taken for the next request', async () => {
    await using t = await connected(fine);
    for (let i = 0; i < 3; i++) await t.connection.call({ method: 'DELETE', path: '/apis/x', body: { a: 'ä' } });
    expect(t.api.requests.map(({ line }) => line)).toEqual(Array<string>(3).fill('DELETE /apis/x'));
  });

  test('a server that came back after a cut is reached again', async () => {
    await using t = await connected(fine);
    await t.connection.call(GET);
    t.api.cut();
    await eventually(
      () => t.connection.call(GET).catch(() => undefined),
      (body) => body !== undefined,
    );
  });
});

describe('credentials that were refused', () => {
  test('are read anew, and the request goes out once more', async () => {
    let token = 'old';
    await using t = await connected(
      ({ headers }, response) =>
        headers.authorization === 'Bearer new' ? json(response, 200, 'in') : json(response, 401, {}),
      () => ({ token }),
    );
    await refused(t.connection.call(GET), 'Unavailable');
    token = 'new';
    await t.clock.advance(1000);
    expect(await t.connection.call(GET)).toBe('in');
  });

  test('are not read again and again', async () => {
    let reads = 0;
    await using t = await connected(
      (_request, response) => json(response, 401, {}),
      () => ({ token: `${++reads}` }),
    );
    const before = reads;
    for (let i = 0; i < 10; i++) await refused(t.connection.call(GET), 'Unavailable');
    expect(reads - before).toBe(1);
  });

  test('that cannot be read are an answer in words', async () => {
    await using t = await connected(fine, () => ({ certFile: '/nowhere/tls.crt' }));
    const { message } = await refused(t.connection.call(POST), 'Unavailable');
    expect(message).toMatch(/^POST \/apis\/x: no answer: .*\/nowhere\/tls.crt/);
  });
});

describe('what the API server says', () => {
  test.each([
    [404, 'NotFound', 'NotFound'],
    [409, 'AlreadyExists', 'AlreadyExists'],
    [409, 'Conflict', 'Conflict'],
    [410, 'Expired', 'Expired'],
    [422, 'Invalid', 'Invalid'],
    [400, 'BadRequest', 'Invalid'],
    [403, 'Forbidden', 'Unavailable'],
    [429, 'TooManyRequests', 'Unavailable'],
    [500, 'InternalError', 'Unknown'],
    [504, 'Timeout', 'Unknown'],
  ] as const)('%i %s is %s for a write', async (status, reason, code) => {
    await using t = await connected((_request, response) => json(response, status, refusal(status, reason, 'words')));
    const { message } = await refused(t.connection.call(POST), code);
    expect(message).toBe('words');
  });

  test('a failure of the server is Unavailable for a read: nothing can have landed', async () => {
    await using t = await connected((_request, response) => response.writeHead(502).end('<html>bad gateway'));
    const { message } = await refused(t.connection.call(GET), 'Unavailable');
    expect(message).toBe('GET /apis/x: HTTP 502 <html>bad gateway');
  });

  test('what is invalid is told by field, in the words of the rule', async () => {
    const causes = [
      { field: 'spec.resources.memory', message: 'Invalid value: "8 \\"GB": must be a quantity: of bytes' },
      { field: 'spec', message: 'Invalid value: cannot be changed: delete the claim' },
      { field: '<nil>', message: 'Invalid value: metadata.name must be short' },
      { field: '<nil>', message: 'Invalid value: null: some validation rules were not checked because …' },
      { field: 'spec.vgpus', message: 'Invalid value: 0: too small' },
      { field: 'spec.mode', message: 'Unsupported value: "x": supported values: "Reserved"' },
    ];
    await using t = await connected((_request, response) =>
      json(response, 422, refusal(422, 'Invalid', 'no', { causes })),
    );
    expect((await refused(t.connection.call(POST), 'Invalid')).details).toEqual([
      { field: 'spec.resources.memory', message: 'must be a quantity: of bytes' },
      { field: 'spec', message: 'cannot be changed: delete the claim' },
      { field: '', message: 'metadata.name must be short' },
      { field: 'spec.vgpus', message: 'too small' },
      { field: 'spec.mode', message: 'Unsupported value: "x": supported values: "Reserved"' },
    ]);
  });

  test('fields that nobody knows are told by name', async () => {
    const message = 'strict decoding error: unknown field "spec.memry", unknown field "spec.x"';
    await using t = await connected((_request, response) => json(response, 400, refusal(400, 'BadRequest', message)));
    expect((await refused(t.connection.call(POST), 'Invalid')).details).toEqual([
      { field: 'spec.memry', message: 'unknown field' },
      { field: 'spec.x', message: 'unknown field' },
    ]);
  });
});

describe('no answer', () => {
  test('nobody listens: nothing was written', async () => {
    const connection = connect({ loadConfig: () => plainConfig(1), clock: new ManualClock() });
    const { message } = await refused(connection.call(POST), 'Unavailable');
    expect(message).toMatch(/ECONNREFUSED/);
  });

  test.each([
    ['cut before the answer', ({ socket }: { socket: { destroy(): void } }) => socket.destroy()],
    [
      'cut within the answer',
      ({ socket }: { socket: { destroy(): void; write(text: string): void } }) => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{');
        setImmediate(() => socket.destroy());
      },
    ],
  ])('%s: a write may have landed, a read can be asked again', async (_name, answer) => {
    await using t = await connected(answer);
    await refused(t.connection.call(POST), 'Unknown');
    await refused(t.connection.call(GET), 'Unavailable');
  });

  test('cut on a connection that it had to wait for: a write may have landed', async () => {
    let left = 100; // More than there may be connections.
    await using t = await connected((request, response) => (left-- > 0 ? fine(request, response) : request.destroy()));
    const outcomes = Array.from({ length: 2 * left }, () => t.connection.call(POST).then(() => 'fine', codeOf));
    const count = Object.groupBy(await Promise.all(outcomes), (outcome) => outcome);
    expect(Object.entries(count).map(([outcome, all]) => [outcome, all?.length])).toEqual([
      ['fine', 100],
      ['Unknown', 100],
    ]);
  });

  test('a server that takes its time is not waited for', async () => {
    await using t = await connected(() => undefined);
    const writing = refused(t.connection.call(POST), 'Unknown');
    await eventually(
      () => t.api.requests.length,
      (count) => count === 1,
    );
    await t.clock.advance(30_000);
    expect((await writing).message).toMatch(/none within 30000 ms/);
  });
});
