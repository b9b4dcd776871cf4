import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { listSlices, NO_SLICES, offered, shortfall, type SliceList } from './slice-list.ts';

const none = new Set<number>();

test('nothing withdrawn: all can be had', () => {
  expect(listSlices({ capacity: 3, withdrawn: 0 }, none, NO_SLICES)).toMatchObject({ listed: [0, 1, 2], withheld: [] });
});

test('what is withdrawn is withheld from the top', () => {
  expect(listSlices({ capacity: 5, withdrawn: 2 }, none, NO_SLICES).withheld).toEqual([3, 4]);
});

test('slices that pods have are never withheld', () => {
  const list = listSlices({ capacity: 5, withdrawn: 3 }, new Set([4, 3]), NO_SLICES);
  expect(list.withheld).toEqual([0, 1, 2]);
  expect(shortfall(list)).toBe(0);
});

test('pods have more than is left: all free ones are withheld, and the shortfall is told', () => {
  const list = listSlices({ capacity: 5, withdrawn: 4 }, new Set([0, 1, 2]), NO_SLICES);
  expect(list.withheld).toEqual([3, 4]);
  expect(shortfall(list)).toBe(2);
});

test('a slice that is gone stays listed while a pod has it, and counts', () => {
  const list = listSlices({ capacity: 2, withdrawn: 0 }, new Set([7]), NO_SLICES);
  expect(list).toMatchObject({ listed: [0, 1, 7], withheld: [1] });
});

const anySupply = fc.nat(40).chain((capacity) => fc.record({ capacity: fc.constant(capacity), withdrawn: fc.nat(60) }));
const anyInUse = fc.uniqueArray(fc.nat(60)).map((numbers) => new Set(numbers));
const anyBefore: fc.Arbitrary<SliceList> = fc
  .tuple(anySupply, anyInUse)
  .map(([supply, inUse]) => listSlices(supply, inUse, NO_SLICES));

test('for every supply, whatever pods have and whatever was told before', () => {
  fc.assert(
    fc.property(anySupply, anyInUse, anyBefore, (supply, inUse, before) => {
      const list = listSlices(supply, inUse, before);
      const { listed, withheld } = list;
      const can = offered(list);
      expect([...inUse].filter((number) => !can.has(number))).toEqual([]);
      expect(withheld.filter((number) => !listed.includes(number))).toEqual([]);
      expect(listed).toEqual([...new Set(listed)].toSorted((a, b) => a - b));
      // What can be had is what can be promised, or all of it is had already.
      const promisable = Math.max(0, supply.capacity - supply.withdrawn);
      expect(can.size).toBe(Math.max(promisable, inUse.size));
      expect(shortfall(list)).toBe(Math.max(0, inUse.size - promisable));
      expect(listSlices(supply, inUse, list)).toEqual(list);
    }),
  );
});

test('as long as kubelet cannot be asked nothing that was offered is taken back', () => {
  fc.assert(
    fc.property(anySupply, anyBefore, (supply, before) => {
      const can = offered(listSlices(supply, offered(before), before));
      for (const number of offered(before)) expect(can.has(number)).toBe(true);
    }),
  );
});
