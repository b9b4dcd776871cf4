import { expect, test } from '@jest/globals';
import { connect } from 'node:net';
import { join } from 'node:path';
import { commandLineFixture } from '../../test/support/command-line-fixture.ts';

test('a request whose target is no path is answered, and the next one too', async () => {
  await using fixture = await commandLineFixture();
  for (const target of ['//', '/apis/%', 'http://[', '*']) {
    expect(await answer(join(fixture.directory, 'api.sock'), target)).toMatch(/^HTTP\/1.1 40[04] /);
  }
});

test('its socket answers probes, so that every serve says how it stands', async () => {
  await using fixture = await commandLineFixture();
  const socket = join(fixture.directory, 'api.sock');
  expect(await answer(socket, '/livez')).toMatch(/^HTTP\/1.1 200 .*ok\n/s);
  expect(await answer(socket, '/readyz')).toMatch(/^HTTP\/1.1 503 .*gpus: none was seen\n/s);
  expect(await answer(socket, '/metrics')).toMatch(/^HTTP\/1.1 200 .*process_resident_memory_bytes [0-9]/s);
});

function answer(path: string, target: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(path, () =>
      socket.end(`GET ${target} HTTP/1.1\r\nHost: aquifer\r\nConnection: close\r\n\r\n`),
    );
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}
