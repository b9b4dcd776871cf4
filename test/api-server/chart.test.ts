import { describe, expect, jest, test } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { backendSchema } from '../../src/config/backend.ts';
import { devicePluginSchema } from '../../src/config/device-plugin.ts';
import { loadConfig } from '../../src/config/load.ts';
import { operatorSchema } from '../../src/config/operator.ts';
import { VERSION } from '../../src/lib/version.ts';
import { helm, CHART, podOf, render } from '../support/chart.ts';
import { RULES } from '../support/dashboards.ts';

jest.setTimeout(600_000); // The first one builds helm.

const PODS = [
  ['Deployment', 'aquifer-operator', ['operator']],
  ['DaemonSet', 'aquifer-node', ['device-plugin', 'agent', 'connector']],
  ['DaemonSet', 'aquifer-gpu-node', ['device-plugin', 'agent', 'connector', 'gateway']],
  ['DaemonSet', 'aquifer-spawner', ['spawner']],
] as const;
const SETTINGS = { operator: operatorSchema, agent: backendSchema, 'device-plugin': devicePluginSchema };
interface Schema {
  readonly type?: string;
  readonly $ref?: string;
  readonly additionalProperties?: false | Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly $defs?: Readonly<Record<string, Schema>>;
}

/** Paths of objects that may have any field. */
function openObjects(schema: Schema, path: string, defs = schema.$defs ?? {}): readonly string[] {
  const { type, $ref, additionalProperties, properties = {}, items } = schema;
  const named = defs[$ref?.replace('#/$defs/', '') ?? ''];
  if (named !== undefined) return openObjects(named, path, defs);
  return [
    ...(type === 'object' && additionalProperties === undefined ? [path] : []),
    ...Object.entries(properties).flatMap(([name, field]) => openObjects(field, `${path}.${name}`, defs)),
    ...(items === undefined ? [] : openObjects(items, `${path}[]`, defs)),
  ].toSorted();
}

const ENV = { NODE_NAME: 'gpu-1', NODE_IP: '10.0.0.1', KUBERNETES_SERVICE_HOST: '10.96.0.1', POD_NAMESPACE: 'x' };

/** What kubelet makes of an argument. */
const expanded = (argument: string): string =>
  argument.replace(/\$\((\w+)\)/g, (whole, name: keyof typeof ENV) => ENV[name] ?? whole);

test('helm finds nothing wrong', async () => {
  await helm(['lint', '--strict', CHART]);
});

describe.each([
  ['of its own', []],
  ['for software GPUs', ['gpuNodes.softwareGpus=2x8Gi', 'node.cdiDir=']],
  ['for Prometheus', ['podMonitor.enabled=true', 'operator.replicas=3', 'logLevel=debug']],
])('with values %s', (_, values) => {
  test.each(PODS)('%s %s runs what it should, with settings that it knows', async (kind, name, processes) => {
    const { containers } = podOf(await render(values), kind, name);
    expect(containers.map((container) => container.name)).toEqual(processes);
    for (const container of containers) {
      if (!(container.name in SETTINGS)) continue;
      const schema = SETTINGS[container.name as keyof typeof SETTINGS];
      const argv = container.args.map(expanded);
      const loaded = loadConfig(schema as typeof backendSchema, { argv, env: ENV, readFile: () => '' });
      expect(loaded).toMatchObject({ ok: true });
    }
  });
});

test.each([
  ['operator.replicas=4', 'replicas'],
  ['operator.replica=2', 'replica'],
  ['gpuNodes.softwareGpus=many', 'softwareGpus'],
  ['node.kubeletDir=var/lib/kubelet', 'kubeletDir'],
  ['logLevel=loud', 'logLevel'],
])('refuses %s', async (value, said) => {
  await expect(render([value])).rejects.toThrow(said);
});

test('knows every value, and leaves none open to a slip of the pen', () => {
  const schema = JSON.parse(readFileSync(`${CHART}/values.schema.json`, 'utf8')) as Schema;
  const values = parse(readFileSync(`${CHART}/values.yaml`, 'utf8')) as object;
  const { global, ...rest } = schema.properties ?? {}; // What charts that include this one share with it.
  expect(global).toEqual({ type: 'object' });
  expect(Object.keys(rest)).toEqual(Object.keys(values));
  expect(openObjects(schema, '')).toEqual(['.global', '.node.tolerations[]', '.operator.tolerations[]'].toSorted());
});

test.each([[[]], [['uninstall.force=true']]])(
  'refuses to go while claims are in use, unless told otherwise: %s',
  async (values) => {
    const jobs = (await render(values)).filter(({ kind }) => kind === 'Job').map(({ metadata }) => metadata);
    const annotations = expect.objectContaining({ 'helm.sh/hook': 'pre-delete' }) as unknown;
    expect(jobs).toEqual(
      values.length > 0 ? [] : [expect.objectContaining({ name: 'aquifer-uninstall', annotations })],
    );
  },
);

test('has examples that run the images of this version', () => {
  const folder = `${CHART}/../../../examples/kubernetes`;
  const images = readdirSync(folder).flatMap(
    (file) => readFileSync(`${folder}/${file}`, 'utf8').match(/image: .*/g) ?? [],
  );
  expect(new Set(images)).toEqual(new Set([`image: aquifer.dev/examples:${VERSION}`]));
});

test('refuses a Kubernetes without mutating admission policies', async () => {
  await expect(render([], '1.35.2')).rejects.toThrow('1.36');
});

test('gives no container more than root of the node and the capabilities it names', async () => {
  const objects = await render(['gpuNodes.softwareGpus=2x8Gi']);
  const capabilities = PODS.flatMap(([kind, name]) =>
    podOf(objects, kind, name).containers.map((container) => {
      const { securityContext } = container;
      expect(securityContext).toMatchObject({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true });
      const { drop, add = [] } = securityContext.capabilities;
      expect(drop).toEqual(['ALL']);
      return [`${name}/${container.name}`, add.join(' ')];
    }),
  );
  expect(capabilities).toEqual([
    ['aquifer-operator/operator', ''],
    ['aquifer-node/device-plugin', ''],
    ['aquifer-node/agent', ''],
    ['aquifer-node/connector', ''],
    ['aquifer-gpu-node/device-plugin', ''],
    ['aquifer-gpu-node/agent', 'DAC_READ_SEARCH'],
    ['aquifer-gpu-node/connector', ''],
    ['aquifer-gpu-node/gateway', 'DAC_OVERRIDE KILL'],
    ['aquifer-spawner/spawner', 'CHOWN KILL SETGID SETUID'],
  ]);
});

test.each(['podMonitor.enabled', 'node.exposeMetrics'])(
  '%s lets Prometheus reach the processes of nodes',
  async (value) => {
    for (const [is, address, ports] of [
      ['false', '127.0.0.1', []],
      ['true', '$(NODE_IP)', ['plugin-metrics', 'agent-metrics']],
    ] as const) {
      const { containers } = podOf(await render([`${value}=${is}`]), 'DaemonSet', 'aquifer-node');
      const listens = containers.flatMap(({ args }) => args.filter((arg) => arg.startsWith('--listen=')));
      expect(listens).toEqual([`--listen=${address}:9961`, `--listen=${address}:9963`]);
      expect(containers.flatMap((container) => (container.ports ?? []).map(({ name }) => name))).toEqual(ports);
    }
  },
);

test('has Prometheus look at ports that pods have', async () => {
  const objects = await render(['podMonitor.enabled=true']);
  const { podMetricsEndpoints } = objects.find(({ kind }) => kind === 'PodMonitor')?.spec ?? {};
  const wanted = (podMetricsEndpoints as readonly { readonly port: string }[]).map(({ port }) => port);
  const containers = PODS.flatMap(([kind, name]) => podOf(objects, kind, name).containers);
  const ports = containers.flatMap((container) => container.ports ?? []).map(({ name }) => name);
  expect(wanted.filter((port) => !ports.includes(port))).toEqual([]);
});

test('gives Prometheus the alerts as they are in deploy, unless told not to', async () => {
  const shipped = parse(readFileSync(RULES, 'utf8')) as unknown;
  const rule = async (values: readonly string[]) =>
    (await render(values)).find(({ kind }) => kind === 'PrometheusRule');
  expect((await rule(['podMonitor.enabled=true']))?.spec).toEqual(shipped);
  expect(await rule(['podMonitor.enabled=true', 'podMonitor.alerts=false'])).toBeUndefined();
  expect(await rule([])).toBeUndefined();
});
