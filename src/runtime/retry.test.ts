import { expect, test } from '@jest/globals';
import { recordingLog } from '../../test/support/builders.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { untilDone } from './retry.ts';

test('tries later each time until it succeeds, or is told to stop', async () => {
  const [clock, log, stop] = [new ManualClock(), recordingLog(), new AbortController()];
  let tries = 0;
  const options = { what: 'it', clock, log, signal: stop.signal };
  const done = untilDone(() => (++tries < 4 ? Promise.reject(new Error('not yet')) : Promise.resolve('done')), options);
  await clock.advance(200 + 400 + 799);
  expect(tries).toBe(3);
  await clock.advance(1);
  expect(await done).toBe('done');
  expect(log.lines).toHaveLength(3);

  const never = untilDone(() => Promise.reject(new Error('never')), options);
  await clock.advance(1000);
  stop.abort();
  expect(await never).toBeUndefined();
});
