import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { alertRules, dashboardQueries, RULES } from '../support/dashboards.ts';
import { eventually } from '../support/eventually.ts';
import { claim } from '../support/objects.ts';
import { startMeteredStage, type MeteredStage } from '../support/metered-stage.ts';
import { promtool } from '../support/prometheus.ts';

const LONG_MS = 300_000;

jest.setTimeout(600_000); // The first one fetches Prometheus.

let stage: MeteredStage;
beforeAll(async () => {
  stage = await startMeteredStage();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

const PROCESSES = ['serve', 'operator', 'agent', 'device-plugin'] as const;

const ask = async (process: (typeof PROCESSES)[number], path: string) => {
  const response = await fetch(`http://${stage.addresses[process]}${path}`);
  return { status: response.status, text: await response.text() };
};

const firing = async (): Promise<readonly string[]> => {
  const alerts = await stage.prometheus.alerts();
  return alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels['alertname'] ?? '');
};

test('the programs of a claim are counted, and go on to be when they have ended', async () => {
  await stage.work();
  const after = (metric: string, atLeast: number) =>
    eventually(
      () => stage.prometheus.query(`${metric}{namespace="team-a",claim="server"}`),
      ([series]) => (series?.value ?? 0) >= atLeast,
      LONG_MS,
    );
  const [launches] = await after('aquifer_claim_launches_total', 100);
  expect(launches?.labels).toMatchObject({
    job: 'agent',
    node: 'gpu-a',
    gpu: expect.stringMatching(/^GPU-/) as unknown,
  });
  expect(launches?.value).toBe(100);
  // What steady writes is 16 KiB a round back, and no copy to the GPU.
  expect(await after('aquifer_claim_copied_from_gpu_bytes_total', 1)).toMatchObject([{ value: 100 * 16_384 }]);
  expect((await after('aquifer_claim_round_trips_total', 1))[0]?.value).toBeGreaterThanOrEqual(1);
  expect((await after('aquifer_claim_gpu_seconds_total', 1e-6))[0]?.value).toBeGreaterThan(0);
  await stage.work();
  expect((await after('aquifer_claim_launches_total', 200))[0]?.value).toBe(200);
  await eventually(
    () => stage.prometheus.query('aquifer_claim_sessions{claim="server"}'),
    ([series]) => series?.value === 0,
    LONG_MS,
  );
});

test.each(PROCESSES)('%s is alive and ready, and promtool finds nothing wrong with its metrics', async (process) => {
  expect(await ask(process, '/livez')).toEqual({ status: 200, text: 'ok\n' });
  await eventually(
    () => ask(process, '/readyz'),
    ({ status }) => status === 200,
    LONG_MS,
  );
  const { text } = await ask(process, '/metrics');
  expect(text).toContain('aquifer_build_info');
  expect(promtool(['check', 'metrics'], text)).toBe('');
});

test('Prometheus has an answer to every query of the dashboard', async () => {
  // One claim waits, or there is nothing to say of those that do.
  const applied = await stage.serve.cli(['apply', '-f', '-'], { stdin: claim('too-large', '3500Mi', 100) });
  expect(applied).toMatchObject({ code: 0 });
  const open = new Map(dashboardQueries().map(([title, query]) => [query, title]));
  expect(open.size).toBeGreaterThan(30);
  const deadline = Date.now() + LONG_MS;
  while (open.size > 0 && Date.now() < deadline) {
    await stage.work();
    for (const query of open.keys()) {
      const series = await stage.prometheus.query(query);
      if (series.some(({ value }) => Number.isFinite(value))) open.delete(query);
    }
  }
  expect([...open].map(([query, title]) => `${title}: ${query}`)).toEqual([]);
  expect(await stage.serve.cli(['delete', 'vgpu', 'too-large'])).toMatchObject({ code: 0 });
});

test('no alert is raised while all is well, and all can be evaluated', async () => {
  expect(promtool(['check', 'rules', RULES])).toContain('rules found');
  for (const { expr } of alertRules()) await stage.prometheus.query(expr);
  await eventually(firing, (names) => names.length === 0, LONG_MS);
});

test('a fault of a program is told of its claim', async () => {
  // What a program did is counted to the last, although it ends at once.
  const times = 10;
  for (let i = 0; i < times; i += 1) {
    const { stdout, stderr } = await stage.onServe('misbehave', ['out-of-bounds']);
    expect(`${stdout}${stderr}`).toContain('ILLEGAL_ADDRESS');
  }
  await eventually(
    () => stage.prometheus.query('aquifer_claim_faults_total{claim="trainer"}'),
    ([series]) => series?.value === times,
    LONG_MS,
  );
  await eventually(firing, (names) => names.includes('AquiferClaimFaults'), LONG_MS);
  const alerts = await stage.prometheus.alerts();
  const { annotations } = alerts.find(({ labels }) => labels['alertname'] === 'AquiferClaimFaults') ?? {};
  expect(annotations?.['summary']).toMatch(/^Programs of default\/trainer fail on GPU-.* of gpu-1$/);
});

test('a node that is lost is told of, and so are its claims', async () => {
  await stage.node.stopAgent();
  await eventually(
    firing,
    (names) => names.includes('AquiferNodeLost') && names.includes('AquiferClaimsLost'),
    LONG_MS,
  );
  const alerts = await stage.prometheus.alerts();
  expect(alerts.find(({ labels }) => labels['alertname'] === 'AquiferNodeLost')).toMatchObject({
    labels: { node: 'gpu-a', severity: 'critical' },
    annotations: { summary: 'Node gpu-a does not report' },
  });
});
