import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { lineSplitter } from './line-splitter.ts';

test('the lines are the same, whatever pieces the stream comes in', () => {
  const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ' '));
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (lines, sizes) => {
      const bytes = new TextEncoder().encode(lines.map((text) => `${text}\n`).join(''));
      const splitter = lineSplitter(10_000);
      const got: string[] = [];
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const size = sizes[i % sizes.length] ?? 1;
        got.push(...(splitter.push(bytes.subarray(at, at + size)) ?? []));
        at += size;
      }
      expect(got).toEqual(lines);
    }),
  );
});

test('a line of the limit passes, a longer one ends it for good', () => {
  const splitter = lineSplitter(4);
  const push = (text: string) => splitter.push(new TextEncoder().encode(text));
  expect(push('abcd\nab')).toEqual(['abcd']);
  expect(push('cde')).toBeUndefined();
  expect(push('\nx\n')).toBeUndefined();
});
