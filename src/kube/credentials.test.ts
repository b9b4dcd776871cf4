import { expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig, type User } from '@kubernetes/client-node';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { Credentials } from './credentials.ts';

const MINUTE_MS = 60_000;
const base64 = (text: string): string => Buffer.from(text).toString('base64');

function credentialsOf(user: () => Partial<User>) {
  const clock = new ManualClock();
  const load = (): KubeConfig => {
    const config = new KubeConfig();
    config.loadFromClusterAndUser({ name: 'c', server: 'https://127.0.0.1:1' } as never, { name: 'u', ...user() });
    return config;
  };
  return { clock, credentials: new Credentials(load, clock) };
}

test('connections are kept while the TLS settings stay, whatever becomes of the token', async () => {
  let token = 'a';
  const { clock, credentials } = credentialsOf(() => ({ token }));
  const first = await credentials.current();
  token = 'b';
  expect(await credentials.current()).toBe(first);
  await clock.advance(MINUTE_MS);
  const second = await credentials.current();
  expect(second.headers).toEqual({ Authorization: 'Bearer b' });
  expect(second.agent).toBe(first.agent);
});

test('another client certificate needs other connections', async () => {
  let certificate = 'a';
  const { clock, credentials } = credentialsOf(() => ({ certData: base64(certificate), keyData: base64('key') }));
  const first = await credentials.current();
  certificate = 'b';
  await clock.advance(MINUTE_MS);
  expect((await credentials.current()).agent).not.toBe(first.agent);
});

test('a projected token file is followed, and what it said holds while it cannot be read', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'aquifer-token-'));
  const tokenFile = join(directory, 'token');
  const { clock, credentials } = credentialsOf(() => ({ authProvider: { name: 'tokenFile', config: { tokenFile } } }));
  const bearer = async () => (await credentials.current()).headers;
  await expect(bearer()).rejects.toThrow(/ENOENT/);

  writeFileSync(tokenFile, 'first');
  expect(await bearer()).toEqual({ Authorization: 'Bearer first' });
  rmSync(tokenFile);
  await clock.advance(MINUTE_MS);
  expect(await bearer()).toEqual({ Authorization: 'Bearer first' });
  writeFileSync(tokenFile, 'second');
  await clock.advance(MINUTE_MS);
  expect(await bearer()).toEqual({ Authorization: 'Bearer second' });
  rmSync(directory, { recursive: true });
});

test('many who ask at once are answered by one reading', async () => {
  let readings = 0;
  const { credentials } = credentialsOf(() => ({ token: `${++readings}` }));
  await Promise.all(Array.from({ length: 20 }, () => credentials.current()));
  expect(readings).toBe(1);
});
