import { expect, test } from '@jest/globals';
import { serveProbes } from './probe-server.ts';

test('says of a process whether it is alive, ready and how it stands', async () => {
  const wrong: { api?: string } = { api: 'no answer for 40 s' };
  await using server = await serveProbes({
    listen: { host: '127.0.0.1', port: 0 },
    readiness: { started: () => undefined, api: () => wrong.api },
    metrics: { contentType: 'text/plain; version=0.0.4', text: () => Promise.resolve('up 1\n') },
  });
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
    return [response.status, await response.text()];
  };
  expect(await get('/livez')).toEqual([200, 'ok\n']);
  expect(await get('/readyz?verbose')).toEqual([503, 'started: ok\napi: no answer for 40 s\n']);
  delete wrong.api;
  expect(await get('/readyz')).toEqual([200, 'started: ok\napi: ok\n']);
  expect(await get('/metrics')).toEqual([200, 'up 1\n']);
  expect(await get('/')).toEqual([404, 'there are /livez, /readyz and /metrics\n']);
});

test('a failure of the metrics is an answer', async () => {
  await using server = await serveProbes({
    listen: { host: '127.0.0.1', port: 0 },
    readiness: {},
    metrics: { contentType: 'text/plain', text: () => Promise.reject(new Error('no numbers')) },
  });
  const response = await fetch(`http://127.0.0.1:${server.port}/metrics`);
  expect([response.status, await response.text()]).toEqual([500, 'Error: no numbers\n']);
});
