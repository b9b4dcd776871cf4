import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { eventually } from '../../test/support/eventually.ts';
import { FakeKubelet } from '../../test/support/fake-kubelet.ts';
import { fakeConnector, publishSlices } from '../../test/support/plugin-fixture.ts';
import { spawnPlugin } from '../../test/support/spawned-plugin.ts';

const SLOT = 'aquifer.dev/slot';
const SLICE = 'aquifer.dev/slice';

jest.setTimeout(60_000);

let kubelet: FakeKubelet;
let port: number;
beforeEach(async () => {
  kubelet = new FakeKubelet();
  port = await freePort();
});
afterEach(() => kubelet[Symbol.asyncDispose]());

const serves = (resource: string) =>
  eventually(
    () => kubelet.devices(resource)?.healthy.length,
    (count) => count !== undefined,
  );
const ask = async (path: string) => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: response.status, text: await response.text() };
};

test('killed between Allocate and PreStart, the next process goes on where it was', async () => {
  await kubelet.start();
  {
    await using _ = spawnPlugin(kubelet, port);
    await serves(SLOT);
    await publishSlices(kubelet, 100, 40);
    await serves(SLICE);
    await kubelet.call(SLOT, 'Allocate', { containerRequests: [{ devicesIds: ['slot-5'] }] });
  }
  await eventually(
    () => kubelet.devices(SLOT),
    (devices) => devices === undefined,
  );
  await using connector = await fakeConnector(kubelet);
  await using _ = spawnPlugin(kubelet, port);
  await serves(SLOT);
  await kubelet.call(SLOT, 'PreStartContainer', { devicesIds: ['slot-5'] });
  expect(connector.asked).toEqual(['slot-5']);
  await eventually(
    () => kubelet.devices(SLICE)?.healthy.length,
    (count) => count === 60,
  );
});

test('killed while kubelet restarts, it is registered as soon as both are there', async () => {
  await kubelet.start();
  {
    await using _ = spawnPlugin(kubelet, port);
    await serves(SLOT);
    kubelet.kill();
  }
  await using _ = spawnPlugin(kubelet, port);
  await kubelet.start();
  await serves(SLOT);
});

test('it says whether it is ready, and counts what it does', async () => {
  await using _ = spawnPlugin(kubelet, port);
  const answers = () => ask('/readyz').catch(() => undefined);
  expect(await eventually(answers, (answer) => answer !== undefined)).toEqual({
    status: 503,
    text: `kubelet: kubelet does not watch ${SLOT}\n`,
  });
  await kubelet.start();
  await eventually(answers, (answer) => answer?.status === 200);

  await using connector = await fakeConnector(kubelet);
  await kubelet.call(SLOT, 'Allocate', { containerRequests: [{ devicesIds: ['slot-5'] }] });
  await kubelet.call(SLOT, 'PreStartContainer', { devicesIds: ['slot-5'] });
  await publishSlices(kubelet, 100, 40);
  expect(connector.asked).toHaveLength(1);
  const { text } = await ask('/metrics');
  for (const line of [
    `aquifer_device_plugin_registrations_total{resource="${SLOT}"} 1`,
    `aquifer_device_plugin_allocations_total{resource="${SLOT}"} 1`,
    'aquifer_device_plugin_slot_preparation_seconds_count{outcome="Prepared"} 1',
    `aquifer_device_plugin_watched{resource="${SLOT}"} 1`,
    'aquifer_device_plugin_slices{state="Offered"} 60',
    'aquifer_device_plugin_slices{state="Withheld"} 40',
    'aquifer_device_plugin_slices{state="Short"} 0',
  ])
    expect(text).toContain(`${line}\n`);
});

test('it stops when it is asked to, though a container waits to be started', async () => {
  await kubelet.start();
  await using connector = await fakeConnector(kubelet, () => new Promise<never>(() => undefined));
  await using plugin = spawnPlugin(kubelet, port);
  await serves(SLOT);
  const started = kubelet.call(SLOT, 'PreStartContainer', { devicesIds: ['slot-5'] }).catch(() => 'cut');
  await eventually(
    () => connector.asked.length,
    (count) => count === 1,
  );
  plugin.child.kill('SIGTERM');
  expect(await plugin.ended).toBe(0);
  expect(await started).toBe('cut');
  expect(plugin.output()).toContain('device plugin stops');
});

test('settings that do not fit are told all at once, and nothing is begun', async () => {
  await using plugin = spawnPlugin(kubelet, port, [
    '--client-dir',
    'relative',
    '--cdi-dir',
    'none',
    '--log-level',
    'loud',
  ]);
  expect(await plugin.ended).toBe(2);
  expect(plugin.output()).toContain('--client-dir: must be an absolute path');
  expect(plugin.output()).toContain('--cdi-dir: must be an absolute path');
  expect(plugin.output()).toContain('--log-level');
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: free } = server.address() as AddressInfo;
  server.close();
  return free;
}
