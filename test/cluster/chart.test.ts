import { describe, expect, jest, test } from '@jest/globals';
import { backendSchema } from '../../src/config/backend.ts';
import { devicePluginSchema } from '../../src/config/device-plugin.ts';
import { loadConfig } from '../../src/config/load.ts';
import { operatorSchema } from '../../src/config/operator.ts';
import { helm, CHART, podOf, render } from '../support/chart.ts';

jest.setTimeout(600_000); // The first one builds helm.

const PODS = [
  ['Deployment', 'aquifer-operator', ['operator']],
  ['DaemonSet', 'aquifer-node', ['device-plugin', 'agent', 'connector']],
  ['DaemonSet', 'aquifer-gpu-node', ['device-plugin', 'agent', 'connector', 'gateway']],
  ['DaemonSet', 'aquifer-spawner', ['spawner']],
] as const;
const SETTINGS = { operator: operatorSchema, agent: backendSchema, 'device-plugin': devicePluginSchema };
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

test('has Prometheus look at ports that pods have', async () => {
  const objects = await render(['podMonitor.enabled=true']);
  const { podMetricsEndpoints } = objects.find(({ kind }) => kind === 'PodMonitor')?.spec ?? {};
  const wanted = (podMetricsEndpoints as readonly { readonly port: string }[]).map(({ port }) => port);
  const containers = PODS.flatMap(([kind, name]) => podOf(objects, kind, name).containers);
  const ports = containers.flatMap((container) => container.ports ?? []).map(({ name }) => name);
  expect(wanted.filter((port) => !ports.includes(port))).toEqual([]);
});
