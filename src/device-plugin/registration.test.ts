import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../../test/support/eventually.ts';
import { FakeKubelet } from '../../test/support/fake-kubelet.ts';
import { fakeConnector, isWatched, pluginOn, publishSlices } from '../../test/support/plugin-fixture.ts';

const SLOT = 'aquifer.dev/slot';
const SLICE = 'aquifer.dev/slice';
const healthy = (kubelet: FakeKubelet, resource: string) => kubelet.devices(resource)?.healthy.length;
const has = (count: number | undefined) => (value: number | undefined) => value === count;

jest.setTimeout(60_000);

let kubelet: FakeKubelet;
beforeEach(() => {
  kubelet = new FakeKubelet();
});
afterEach(() => kubelet[Symbol.asyncDispose]());

test('a plugin registers its slots and lists them, all healthy', async () => {
  await kubelet.start();
  await using plugin = await pluginOn(kubelet);
  await eventually(() => healthy(kubelet, SLOT), has(256));
  expect(kubelet.registrations).toEqual([
    {
      resourceName: SLOT,
      endpoint: 'aquifer-slot.sock',
      version: 'v1beta1',
      options: { preStartRequired: true, getPreferredAllocationAvailable: true },
    },
  ]);
  expect(await kubelet.call(SLOT, 'GetDevicePluginOptions', {})).toEqual(kubelet.registrations[0]?.options);
  expect(kubelet.devices(SLOT)?.unhealthy).toEqual([]);
  expect(isWatched(plugin)).toBe(true);
  expect(statSync(join(kubelet.plugins, 'aquifer-slot.sock')).mode & 0o777).toBe(0o600);
});

test('a plugin that starts before kubelet registers when kubelet comes', async () => {
  await using plugin = await pluginOn(kubelet);
  expect(isWatched(plugin)).toBe(false);
  await kubelet.start();
  await eventually(() => healthy(kubelet, SLOT), has(256));
});

test('a plugin that starts before kubelet has its directory registers when both are there', async () => {
  rmSync(kubelet.plugins, { recursive: true });
  await using _ = await pluginOn(kubelet);
  mkdirSync(kubelet.plugins);
  await kubelet.start();
  await eventually(() => healthy(kubelet, SLOT), has(256));
});

test('kubelet’s directory is made anew: the plugin is registered there', async () => {
  await kubelet.start();
  await using _ = await pluginOn(kubelet);
  await eventually(() => healthy(kubelet, SLOT), has(256));
  kubelet.kill();
  rmSync(kubelet.plugins, { recursive: true });
  mkdirSync(kubelet.plugins);
  await kubelet.start();
  await eventually(() => healthy(kubelet, SLOT), has(256));
});

test('a kubelet that starts anew is registered with, once each time', async () => {
  await kubelet.start();
  await using _ = await pluginOn(kubelet);
  await eventually(() => healthy(kubelet, SLOT), has(256));
  for (let restarts = 1; restarts <= 5; restarts++) {
    await kubelet.restart();
    await eventually(() => healthy(kubelet, SLOT), has(256));
    expect(kubelet.registrations).toHaveLength(restarts + 1);
  }
});

test('a kubelet that was away for a while is registered with when it is back', async () => {
  await kubelet.start();
  await using plugin = await pluginOn(kubelet);
  await eventually(() => healthy(kubelet, SLOT), has(256));
  kubelet.kill();
  await eventually(
    () => isWatched(plugin),
    (ready) => !ready,
  );
  await new Promise((resolve) => setTimeout(resolve, 5000)); // Longer than the plugin believes in a kubelet that is silent.
  await kubelet.start();
  await eventually(() => healthy(kubelet, SLOT), has(256));
});

test('a kubelet that refuses is asked again', async () => {
  let refusals = 3;
  kubelet.onRegister = () => {
    if (refusals-- > 0) throw new Error('not yet');
  };
  await kubelet.start();
  await using _ = await pluginOn(kubelet);
  await eventually(() => healthy(kubelet, SLOT), has(256));
});

test('a socket of ours that somebody removed is made anew and registered', async () => {
  await kubelet.start();
  await using _ = await pluginOn(kubelet);
  await eventually(() => healthy(kubelet, SLOT), has(256));
  rmSync(join(kubelet.plugins, 'aquifer-slot.sock'));
  await eventually(() => kubelet.registrations.length, has(2));
  await eventually(() => healthy(kubelet, SLOT), has(256));
  expect(statSync(join(kubelet.plugins, 'aquifer-slot.sock')).isSocket()).toBe(true);
});

test('kubelet restarts while a container waits to be started: the new socket stays', async () => {
  const { promise: never, resolve: release } = Promise.withResolvers<void>();
  await using connector = await fakeConnector(kubelet, () => never);
  await kubelet.start();
  await using _ = await pluginOn(kubelet);
  await eventually(() => healthy(kubelet, SLOT), has(256));
  const start = kubelet.call(SLOT, 'PreStartContainer', { devicesIds: ['slot-1'] }).catch(() => 'cut');
  await eventually(() => connector.asked.length, has(1));
  await kubelet.restart();
  expect(await start).toBe('cut');
  await eventually(() => healthy(kubelet, SLOT), has(256));
  await new Promise((resolve) => setTimeout(resolve, 3000)); // Past the time that the old server has to end.
  release();
  expect(await kubelet.call(SLOT, 'Allocate', { containerRequests: [] })).toEqual({ containerResponses: [] });
  expect(statSync(join(kubelet.plugins, 'aquifer-slot.sock')).isSocket()).toBe(true);
});

test('a plugin that starts anew is registered anew, with the slices that were told last', async () => {
  await kubelet.start();
  {
    await using _ = await pluginOn(kubelet);
    await publishSlices(kubelet, 100, 30);
    await eventually(() => healthy(kubelet, SLICE), has(70));
  }
  await eventually(
    () => kubelet.devices(SLOT),
    (devices) => devices === undefined,
  );
  await using plugin = await pluginOn(kubelet);
  await eventually(() => healthy(kubelet, SLICE), has(70));
  expect(kubelet.lists.get(SLICE)?.[0]).toHaveLength(100);
  await eventually(
    () => isWatched(plugin),
    (ready) => ready,
  );
});

test('a node that never had slices registers none', async () => {
  await kubelet.start();
  await using _ = await pluginOn(kubelet);
  await eventually(() => healthy(kubelet, SLOT), has(256));
  expect(kubelet.registrations.map(({ resourceName }) => resourceName)).toEqual([SLOT]);
});

test('of two plugins on one node the younger has kubelet, and the older rests', async () => {
  await kubelet.start();
  await using older = await pluginOn(kubelet);
  await eventually(() => healthy(kubelet, SLOT), has(256));
  await using younger = await pluginOn(kubelet);
  await eventually(() => isWatched(younger) && !isWatched(older), Boolean);
  const before = kubelet.registrations.length;
  await new Promise((resolve) => setTimeout(resolve, 5000)); // Longer than the older one would wait to register again.
  expect(kubelet.registrations).toHaveLength(before);
  expect(isWatched(younger)).toBe(true);
});
