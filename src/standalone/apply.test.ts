import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mergePatch } from '../lib/merge-patch.ts';
import { patchFromTo } from './apply.ts';

test.each([
  ['sets what is new', {}, { a: 1 }, { a: 1 }],
  ['removes what is gone', { a: 1, b: 2 }, { b: 2 }, { a: null, b: 2 }],
  ['goes into objects', { s: { a: 1 } }, { s: { b: 2 } }, { s: { a: null, b: 2 } }],
  ['replaces lists', { l: [1] }, { l: [2, 3] }, { l: [2, 3] }],
  ['makes an object of what was none', { s: 1 }, { s: { b: 2 } }, { s: { b: 2 } }],
])('%s', (_, earlier, wanted, patch) => {
  expect(patchFromTo(earlier, wanted)).toEqual(patch);
});

test('leads from the earlier manifest to the wanted one', () => {
  const { manifest } = fc.letrec<{ manifest: Record<string, unknown>; value: unknown }>((tie) => ({
    value: fc.oneof({ depthSize: 'small' }, fc.integer(), fc.string(), fc.array(fc.integer()), tie('manifest')),
    manifest: fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('value')),
  }));
  fc.assert(
    fc.property(manifest, manifest, (earlier, wanted) => {
      expect(mergePatch(earlier, patchFromTo(earlier, wanted))).toEqual(wanted);
    }),
  );
});
