import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { bytesOf, formatBytes, parseQuantity, QUANTITY_PATTERN } from './quantity.ts';

describe('parseQuantity', () => {
  test.each([
    ['0', 0],
    ['1', 1],
    ['64Mi', 67_108_864],
    ['8Gi', 8_589_934_592],
    ['1.5Gi', 1_610_612_736],
    ['0.1Ki', 103],
    ['4G', 4_000_000_000],
    ['2k', 2000],
    ['1Pi', 1_125_899_906_842_624],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseQuantity(text)).toBe(bytes);
  });

  test.each([
    '',
    'Gi',
    '8 Gi',
    ' 8Gi',
    '8Gi\n',
    '8gi',
    '8GB',
    '-8Gi',
    '+8Gi',
    '1e9',
    '100m',
    '.5Gi',
    '8.Gi',
    '8Ei',
    '8Pi',
    '9007199254740992',
    '٨Gi',
  ])('refuses %j', (text) => {
    expect(parseQuantity(text)).toBeUndefined();
    expect(() => bytesOf(text)).toThrow(RangeError);
  });

  test('accepts what the published pattern accepts, and nothing else', () => {
    // Without T and P: six characters of those can be above the limit, which the pattern does not know.
    const pieces = fc.constantFrom('1', '9', '0', '.', 'K', 'M', 'G', 'i', 'k', 'm', 'e', ' ', '-');
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 6 }), (parts) => {
        const text = parts.join('');
        expect(parseQuantity(text) !== undefined).toBe(new RegExp(QUANTITY_PATTERN).test(text));
      }),
    );
  });
});

describe('formatBytes', () => {
  test.each([
    [0, '0'],
    [1, '1'],
    [1024, '1Ki'],
    [8_589_934_592, '8Gi'],
    [8_589_934_593, '8589934593'],
    [1_610_612_736, '1536Mi'],
  ])('%d is written %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  test('is undone by bytesOf', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(45), (n, shift) => {
        const bytes = (Math.floor(n / 2 ** shift) * 2 ** Math.min(shift, 20)) % Number.MAX_SAFE_INTEGER;
        expect(bytesOf(formatBytes(bytes))).toBe(bytes);
      }),
    );
  });

  test.each([-1, 1.5, NaN, 2 ** 53])('refuses %d', (bytes) => {
    expect(() => formatBytes(bytes)).toThrow(RangeError);
  });
});
