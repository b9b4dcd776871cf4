import { expect, jest, test } from '@jest/globals';
import { randomInt } from 'node:crypto';
import { eventually } from '../support/eventually.ts';
import { FakeKubelet } from '../support/fake-kubelet.ts';
import { promtool, startPrometheus } from '../support/prometheus.ts';
import { spawnPlugin } from '../support/spawned-plugin.ts';

jest.setTimeout(300_000); // The first one fetches Prometheus.

test('Prometheus reads the device plugin and finds nothing wrong with its metrics', async () => {
  await using kubelet = new FakeKubelet();
  await kubelet.start();
  const port = randomInt(20_000, 30_000);
  await using _ = spawnPlugin(kubelet, port);
  await using prometheus = await startPrometheus({
    scrape: [{ job_name: 'plugin', static_configs: [{ targets: [`127.0.0.1:${port}`] }] }],
  });
  const watched = await eventually(
    () => prometheus.query('aquifer_device_plugin_watched'),
    (series) => series.some(({ value }) => value === 1),
  );
  expect(watched).toMatchObject([{ labels: { job: 'plugin', resource: 'aquifer.dev/slot' } }]);
  expect(await prometheus.targets()).toMatchObject([{ job: 'plugin', error: '' }]);
  await expect(prometheus.query('aquifer_device_plugin_watched)')).rejects.toThrow('parse error');

  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  expect(promtool(['check', 'metrics'], text)).toBe('');
  expect(() => promtool(['check', 'metrics'], 'aquifer_slots_total{} 1\n# TYPE aquifer_slots_total gauge\n')).toThrow();
});
