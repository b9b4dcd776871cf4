import { expect, test } from '@jest/globals';
import { recordingLog } from '../../../test/support/builders.ts';
import { ManualClock } from '../../../test/support/manual-clock.ts';
import { renewedServer } from './renewed-server.ts';

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

/** A server whose certificates are counted, over an authority that may be away. */
async function serving() {
  const clock = new ManualClock();
  const log = recordingLog();
  const authority = { made: 0, away: false, portTaken: false };
  const events: string[] = [];
  const server = await renewedServer({
    identity() {
      if (authority.away) return Promise.reject(new Error('away'));
      return Promise.resolve({ keyPem: 'k', certificatePem: `${++authority.made}` });
    },
    serve({ certificatePem }) {
      if (authority.portTaken) return Promise.reject(new Error('port taken'));
      events.push(`serve ${certificatePem}`);
      const end = (): Promise<void> => Promise.resolve(void events.push(`end ${certificatePem}`));
      return Promise.resolve({ port: 7, [Symbol.asyncDispose]: end });
    },
    clock,
    log,
  });
  return { clock, log, authority, events, server };
}

test('a server gets a fresh certificate long before its own runs out, again and again', async () => {
  const { clock, events, server } = await serving();
  await clock.advance(45 * DAY_MS);
  expect(events).toEqual(['serve 1', 'end 1', 'serve 2', 'end 2', 'serve 3']);
  await server[Symbol.asyncDispose]();
  expect(events.at(-1)).toBe('end 3');
  expect(clock.pending).toBe(0);
});

test('without a fresh certificate it serves on with the old one, and tries again soon', async () => {
  const { clock, log, authority, events } = await serving();
  authority.away = true;
  await clock.advance(20 * DAY_MS);
  expect(events).toEqual(['serve 1']);
  expect(log.lines.map(({ text }) => text)).toEqual(['server certificate not renewed']);
  authority.away = false;
  await clock.advance(MINUTE_MS);
  expect(events).toEqual(['serve 1', 'end 1', 'serve 2']);
});

test('a server that could not start again is tried again until it does', async () => {
  const { clock, authority, events, server } = await serving();
  authority.portTaken = true;
  await clock.advance(20 * DAY_MS + MINUTE_MS);
  expect(events).toEqual(['serve 1', 'end 1']);
  authority.portTaken = false;
  await clock.advance(MINUTE_MS);
  expect(events).toEqual(['serve 1', 'end 1', 'serve 4']);
  await server[Symbol.asyncDispose]();
  expect(events.at(-1)).toBe('end 4');
});
