import { expect, test } from '@jest/globals';
import { formatAge, parseDuration } from './duration.ts';

test.each([
  ['0', 0],
  ['50ms', 50],
  ['90s', 90_000],
  ['1h30m', 5_400_000],
  ['2d', 172_800_000],
])('%s is a time span', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each(['', '5', 's', '1.5h', '-3s', '3 s', '99999999999999999d'])('%j is no time span', (text) => {
  expect(parseDuration(text)).toBeUndefined();
});

test.each([
  [-5, '0s'],
  [119_999, '119s'],
  [120_000, '2m'],
  [330_000, '5m30s'],
  [11 * 60_000, '11m'],
  [200 * 60_000, '3h20m'],
  [30 * 3_600_000, '30h'],
  [50 * 3_600_000, '2d2h'],
  [400 * 86_400_000, '400d'],
])('%d ms are shown as %s', (ms, text) => {
  expect(formatAge(ms)).toBe(text);
});
