import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { Refused } from '../ipc/json-lines.ts';
import { eventually } from '../../test/support/eventually.ts';
import { FakeKubelet } from '../../test/support/fake-kubelet.ts';
import { fakeConnector, pluginOn, shortly } from '../../test/support/plugin-fixture.ts';
import type { DevicePlugin } from './plugin.ts';

const SLOT = 'aquifer.dev/slot';

jest.setTimeout(60_000);

let kubelet: FakeKubelet;
let plugin: DevicePlugin;
beforeEach(async () => {
  kubelet = new FakeKubelet();
  await kubelet.start();
  plugin = await pluginOn(kubelet);
  await eventually(
    () => kubelet.devices(SLOT),
    (devices) => devices !== undefined,
  );
});
afterEach(async () => {
  await plugin[Symbol.asyncDispose]();
  await kubelet[Symbol.asyncDispose]();
});

const start = (id: string, deadlineMs?: number) =>
  kubelet.call(SLOT, 'PreStartContainer', { devicesIds: [id] }, deadlineMs);

test('the connector prepares the slot before the container starts', async () => {
  await using connector = await fakeConnector(kubelet);
  expect(await start('slot-7')).toEqual({});
  expect(await start('slot-7')).toEqual({});
  expect(connector.asked).toEqual(['slot-7', 'slot-7']);
});

test('of several IDs of one container the slot that it was given is prepared', async () => {
  await using connector = await fakeConnector(kubelet);
  const devicesIds = ['slot-12', 'slot-9'];
  const { containerResponses } = await kubelet.call(SLOT, 'Allocate', { containerRequests: [{ devicesIds }] });
  await kubelet.call(SLOT, 'PreStartContainer', { devicesIds });
  expect(connector.asked).toEqual(['slot-9']);
  expect(JSON.stringify(containerResponses)).toContain('/slots/slot-9"');
});

test('what the connector refuses is what kubelet tells the user', async () => {
  await using _ = await fakeConnector(kubelet, () => {
    throw new Refused('InitContainer', 'plain init containers get no slot');
  });
  await expect(start('slot-0')).rejects.toThrow('InitContainer: plain init containers get no slot');
});

test('a connector that is away is waited for', async () => {
  const started = start('slot-3');
  await shortly();
  await using connector = await fakeConnector(kubelet);
  expect(await started).toEqual({});
  expect(connector.asked).toEqual(['slot-3']);
});

test('a connector that restarts while it prepares is asked again', async () => {
  const dies = await fakeConnector(kubelet, () => new Promise<never>(() => undefined));
  const started = start('slot-3');
  await eventually(
    () => dies.asked.length,
    (asked) => asked === 1,
  );
  await dies[Symbol.asyncDispose]();
  await using next = await fakeConnector(kubelet);
  expect(await started).toEqual({});
  expect(next.asked).toEqual(['slot-3']);
});

test('a connector that stays away is named before kubelet gives up', async () => {
  await expect(start('slot-3', 3000)).rejects.toThrow(/UNAVAILABLE.*the connector of this node does not answer/);
});

test('calls for one slot come one at a time, those for others do not wait', async () => {
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  await using connector = await fakeConnector(kubelet, (slot) => (slot === 'slot-1' ? opened : Promise.resolve()));
  const both = [start('slot-1'), start('slot-1')];
  await eventually(
    () => connector.asked.length,
    (asked) => asked === 1,
  );
  expect(await start('slot-2')).toEqual({});
  await shortly();
  expect(connector.asked).toEqual(['slot-1', 'slot-2']);
  open();
  expect(await Promise.all(both)).toEqual([{}, {}]);
  expect(connector.asked).toEqual(['slot-1', 'slot-2', 'slot-1']);
});

test('a call that kubelet gives up while it waits its turn is never begun', async () => {
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  await using connector = await fakeConnector(kubelet, (_, nth) => (nth === 1 ? opened : Promise.resolve()));
  const first = start('slot-1');
  await eventually(
    () => connector.asked.length,
    (asked) => asked === 1,
  );
  const given = start('slot-1');
  const last = start('slot-1');
  await shortly();
  given.cancel();
  await expect(given).rejects.toThrow('CANCELLED');
  await shortly();
  open();
  expect(await Promise.all([first, last])).toEqual([{}, {}]);
  expect(connector.asked).toHaveLength(2);
});

test('a call that kubelet gave up is finished before its retry begins', async () => {
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  await using connector = await fakeConnector(kubelet, (_, nth) => (nth === 1 ? opened : Promise.resolve()));
  await expect(start('slot-1', 1500)).rejects.toThrow('DEADLINE_EXCEEDED');
  const retry = start('slot-1');
  await shortly();
  expect(connector.asked).toHaveLength(1);
  open();
  expect(await retry).toEqual({});
  expect(connector.asked).toHaveLength(2);
});

test.each(['slot-256', 'slot-01', 'slot--1', 'slice-1', '../etc', ''])('the ID %p is refused', async (id) => {
  await using connector = await fakeConnector(kubelet);
  await expect(start(id)).rejects.toThrow('INVALID_ARGUMENT');
  const request = { containerRequests: [{ devicesIds: [id] }] };
  await expect(kubelet.call(SLOT, 'Allocate', request)).rejects.toThrow('INVALID_ARGUMENT');
  expect(connector.asked).toEqual([]);
});
