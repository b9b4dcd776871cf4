import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { deviceIds, pick } from './device-id.ts';
import { nextStep, type Seen } from './registration-step.ts';
import { slotMounts } from './slot-mounts.ts';

const registered: Seen = { kubelet: 'k1', ours: 'o1', served: 'o1', registeredWith: 'k1', isWatched: true };

test.each<[string, Partial<Seen>, string]>([
  ['there is no kubelet', { kubelet: undefined }, 'Wait'],
  ['there is no kubelet, and our socket went with it', { kubelet: undefined, ours: undefined }, 'Wait'],
  ['nothing was served yet', { served: undefined, ours: undefined }, 'Serve'],
  ['our socket is gone', { ours: undefined }, 'Serve'],
  ['a younger plugin has taken our place', { ours: 'o2' }, 'Wait'],
  ['kubelet is a new one', { kubelet: 'k2' }, 'Register'],
  ['kubelet does not watch', { isWatched: false }, 'Register'],
  ['all is well', {}, 'Keep'],
])('%s', (_, change, step) => {
  expect(nextStep({ ...registered, ...change })).toBe(step);
});

test('a slot brings its directory and the client libraries where loaders look, read-only, and no environment', () => {
  const allocation = slotMounts('slot-7', { slots: '/run/aquifer/slots', client: '/lib/client/1', cdiDevice: 'a/b=c' });
  const mounts = allocation.mounts ?? [];
  expect(mounts.map(({ containerPath, hostPath }) => `${containerPath} < ${hostPath}`)).toEqual([
    '/run/aquifer < /run/aquifer/slots/slot-7',
    '/usr/lib/x86_64-linux-gnu/libcuda.so.1 < /lib/client/1/libcuda.so.1',
    '/usr/lib/x86_64-linux-gnu/libcuda.so < /lib/client/1/libcuda.so.1',
    '/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1 < /lib/client/1/libnvidia-ml.so.1',
    '/usr/lib64/libcuda.so.1 < /lib/client/1/libcuda.so.1',
    '/usr/lib64/libcuda.so < /lib/client/1/libcuda.so.1',
    '/usr/lib64/libnvidia-ml.so.1 < /lib/client/1/libnvidia-ml.so.1',
  ]);
  expect(mounts.every(({ readOnly }) => readOnly === true)).toBe(true);
  expect(allocation.envs).toBeUndefined();
  expect(allocation.cdiDevices).toEqual([{ name: 'a/b=c' }]);
});

test('without CDI no device is named', () => {
  expect(slotMounts('slot-7', { slots: '/s', client: '/c' }).cdiDevices).toEqual([]);
});

test.each<[string, number[], number[], { size: number; from: number; picked: number[] }]>([
  ['from where it left off', [1, 5, 3], [], { size: 2, from: 3, picked: [3, 5] }],
  ['round to the lowest', [1, 5, 3], [], { size: 2, from: 4, picked: [5, 1] }],
  ['those that must be included first', [1, 5, 3], [5], { size: 2, from: 0, picked: [5, 1] }],
  ['fewer where there are not so many', [2], [], { size: 3, from: 0, picked: [2] }],
  ['none where none is asked for', [2], [], { size: -1, from: 0, picked: [] }],
])('picks %s', (_, available, mustInclude, { picked, ...wish }) => {
  expect(pick(available, mustInclude, wish)).toEqual(picked);
});

test('IDs and numbers stand for each other, and nothing else is an ID', () => {
  const { idOf, numberOf } = deviceIds('slot', 256);
  fc.assert(fc.property(fc.nat(255), (number) => expect(numberOf(idOf(number))).toBe(number)));
  fc.assert(
    fc.property(fc.string(), (text) => {
      fc.pre(!/^slot-[0-9]+$/.test(text));
      expect(() => numberOf(text)).toThrow('is no slot of this node');
    }),
  );
});
