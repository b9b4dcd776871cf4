import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { recordingLog } from '../../test/support/builders.ts';
import { eventually } from '../../test/support/eventually.ts';
import { FakeKubelet } from '../../test/support/fake-kubelet.ts';
import { pluginOn, publishSlices } from '../../test/support/plugin-fixture.ts';
import type { DevicePlugin } from './plugin.ts';

const SLICE = 'aquifer.dev/slice';
const counts = () => {
  const devices = kubelet.devices(SLICE);
  return devices === undefined ? 'none' : `${devices.healthy.length}+${devices.unhealthy.length}`;
};
const told = (wanted: string) => eventually(counts, (is) => is === wanted);
const slices = (...numbers: number[]): readonly string[] => numbers.map((number) => `slice-${number}`);
const allocate = (...numbers: number[]) =>
  kubelet.call(SLICE, 'Allocate', { containerRequests: [{ devicesIds: slices(...numbers) }] });

jest.setTimeout(60_000);

let kubelet: FakeKubelet;
let plugin: DevicePlugin;
beforeEach(async () => {
  kubelet = new FakeKubelet();
  await kubelet.start();
  plugin = await pluginOn(kubelet);
});
afterEach(async () => {
  await plugin[Symbol.asyncDispose]();
  await kubelet[Symbol.asyncDispose]();
});

test('slices go down when claims take them, and up when they are given back', async () => {
  expect(await publishSlices(kubelet, 100, 0)).toEqual({ withheld: 0, short: 0 });
  await told('100+0');
  expect(await publishSlices(kubelet, 100, 25)).toEqual({ withheld: 25, short: 0 });
  await told('75+25');
  await publishSlices(kubelet, 100, 10);
  await told('90+10');
  await publishSlices(kubelet, 200, 10);
  await told('190+10');
  await publishSlices(kubelet, 0, 0);
  await told('0+0');
});

test('slices that pods have are not withheld; once they end, they are', async () => {
  kubelet.givenOut = new Map([[SLICE, slices(8, 9)]]);
  expect(await publishSlices(kubelet, 10, 9)).toEqual({ withheld: 8, short: 1 });
  await told('2+8');
  expect(kubelet.devices(SLICE)?.healthy).toEqual(slices(8, 9));
  kubelet.givenOut = new Map([[SLICE, slices(9)]]);
  await told('1+9');
  expect(kubelet.devices(SLICE)?.healthy).toEqual(slices(9));
});

test('while kubelet does not say what pods have, nothing is taken back; afterwards it is', async () => {
  await publishSlices(kubelet, 10, 0);
  kubelet.givenOut = undefined;
  expect(await publishSlices(kubelet, 10, 4)).toEqual({ withheld: 0, short: 4 });
  kubelet.givenOut = new Map();
  await told('6+4');
});

test('a slice that kubelet gives out before it has read that it is withheld is given back at once', async () => {
  await publishSlices(kubelet, 4, 2);
  await told('2+2');
  await allocate(3);
  await eventually(
    () => kubelet.devices(SLICE)?.healthy,
    (healthy) => healthy?.includes('slice-3') === true,
  );
  expect(kubelet.devices(SLICE)?.unhealthy).toHaveLength(2);
});

test('a container with slices gets nothing from them: its slot brings the mounts', async () => {
  await publishSlices(kubelet, 4, 0);
  await told('4+0');
  const { containerResponses } = await allocate(0, 1);
  expect(containerResponses).toEqual([{ envs: {}, mounts: [], devices: [], annotations: {}, cdiDevices: [] }]);
});

test('kubelet is asked to take slices from the bottom, where none is withheld first', async () => {
  await publishSlices(kubelet, 8, 0);
  await told('8+0');
  const wish = { availableDeviceIDs: slices(7, 2, 4), mustIncludeDeviceIDs: slices(4), allocationSize: 2 };
  const answer = await kubelet.call(SLICE, 'GetPreferredAllocation', { containerRequests: [wish] });
  expect(answer).toEqual({ containerResponses: [{ deviceIDs: slices(4, 2) }] });
});

test.each([
  [-1, 0],
  [40_000, 0],
  [10, -1],
  [10, 1.5],
  ['10', 0],
  [undefined, 0],
])('a supply of %p less %p is refused, and nothing changes', async (capacity, withdrawn) => {
  await publishSlices(kubelet, 5, 0);
  await told('5+0');
  await expect(publishSlices(kubelet, capacity, withdrawn)).rejects.toThrow(/capacity|withdrawn/);
  expect(counts()).toBe('5+0');
});

test('many changes at once end in the last of them', async () => {
  await Promise.all(Array.from({ length: 20 }, (_, n) => publishSlices(kubelet, 100, n)));
  await publishSlices(kubelet, 100, 33);
  await told('67+33');
});

test('a saved list that is none is told of, and the backend says anew what there is', async () => {
  await plugin[Symbol.asyncDispose]();
  writeFileSync(join(kubelet.directory, 'state/slices.json'), '{"form":1,"capacity":');
  const log = recordingLog();
  plugin = await pluginOn(kubelet, log);
  expect(log.lines.map(({ text }) => text)).toContain('saved list of slices is not readable');
  await publishSlices(kubelet, 3, 0);
  await told('3+0');
});
