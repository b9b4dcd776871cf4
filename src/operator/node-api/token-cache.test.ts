import { expect, test } from '@jest/globals';
import { ManualClock } from '../../../test/support/manual-clock.ts';
import type { TokenOwner } from './ports.ts';
import { cachedReviews } from './token-cache.ts';

const owner: TokenOwner = { serviceAccount: 'aquifer-system/aquifer-node', node: 'cpu-1' };

function caching(answer: (token: string) => Promise<TokenOwner | undefined>) {
  const clock = new ManualClock();
  const asked: string[] = [];
  const review = (token: string): Promise<TokenOwner | undefined> => {
    asked.push(token);
    return answer(token);
  };
  return { clock, asked, reviews: cachedReviews({ review }, clock) };
}

test('a good token is asked about once a minute, however many calls it comes with', async () => {
  const { clock, asked, reviews } = caching(() => Promise.resolve(owner));
  await Promise.all([reviews.review('t'), reviews.review('t'), reviews.review('t')]);
  await clock.advance(59_000);
  expect(await reviews.review('t')).toEqual(owner);
  expect(asked).toEqual(['t']);
  await clock.advance(2000);
  await reviews.review('t');
  expect(asked).toEqual(['t', 't']);
});

test('a token that is refused is not asked about again at once, but soon', async () => {
  const { clock, asked, reviews } = caching(() => Promise.resolve(undefined));
  expect(await reviews.review('t')).toBeUndefined();
  expect(await reviews.review('t')).toBeUndefined();
  expect(asked).toHaveLength(1);
  await clock.advance(11_000);
  await reviews.review('t');
  expect(asked).toHaveLength(2);
});

test('that nobody could be asked is not remembered', async () => {
  let isAway = true;
  const { reviews } = caching(() => (isAway ? Promise.reject(new Error('away')) : Promise.resolve(owner)));
  await expect(reviews.review('t')).rejects.toThrow('away');
  isAway = false;
  expect(await reviews.review('t')).toEqual(owner);
});

test('what is no token is nobody’s, and nobody is asked', async () => {
  const { asked, reviews } = caching(() => Promise.resolve(owner));
  expect(await reviews.review('')).toBeUndefined();
  expect(await reviews.review('x'.repeat(16_385))).toBeUndefined();
  expect(asked).toEqual([]);
});

test('tokens without end do not fill the memory: the oldest are forgotten', async () => {
  const { asked, reviews } = caching(() => Promise.resolve(undefined));
  for (let i = 0; i < 5000; i++) await reviews.review(`t${i}`);
  await reviews.review('t4999');
  expect(asked).toHaveLength(5000);
  await reviews.review('t0');
  expect(asked).toHaveLength(5001);
});
