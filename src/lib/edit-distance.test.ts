import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { editDistance, nearest } from './edit-distance.ts';

describe('editDistance', () => {
  test.each([
    ['', '', 0],
    ['', 'abc', 3],
    ['memry', 'memory', 1],
    ['memroy', 'memory', 1],
    ['compute', 'comptue', 1],
    ['kitten', 'sitting', 3],
  ])('from %j to %j is %d', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
  });

  test('is symmetric, and zero only for equal words', () => {
    const word = fc.string({ maxLength: 8 });
    fc.assert(
      fc.property(word, word, (a, b) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b) === 0).toBe(a === b);
      }),
    );
  });
});

describe('nearest', () => {
  const known = ['memory', 'compute', 'poolName'];

  test('finds a word that was mistyped or written in another case', () => {
    expect(nearest('memry', known)).toBe('memory');
    expect(nearest('poolname', known)).toBe('poolName');
  });

  test('keeps silent when nothing is near', () => {
    expect(nearest('gpuSelector', known)).toBeUndefined();
    expect(nearest('x', known)).toBeUndefined();
  });
});
