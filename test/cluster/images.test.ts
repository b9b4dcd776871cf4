import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { Cluster } from './cluster.ts';

const MINUTES = 60_000;
/** The node that has the images. */
const NODE = 'cpu-1';
const REPOSITORY = resolve(import.meta.dirname, '../..');
const { version } = JSON.parse(readFileSync(`${REPOSITORY}/package.json`, 'utf8')) as { readonly version: string };

/** A pod that the `restricted` Pod Security level admits. */
function restrictedPod(name: string, image: string, command: readonly string[]): object {
  const restrictions = {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'restricted' },
    spec: {
      restartPolicy: 'Never',
      nodeSelector: { 'kubernetes.io/hostname': NODE },
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [{ name: 'main', image, imagePullPolicy: 'Never', securityContext: restrictions, command }],
    },
  };
}

describe('the images', () => {
  let cluster: Cluster;

  beforeAll(async () => {
    const archives = ['operator', 'node'].map((name) => `${REPOSITORY}/build/images/${name}.tar`);
    if (!archives.every((archive) => existsSync(archive))) throw new Error('make images first');
    cluster = await Cluster.forTest();
    for (const archive of archives) await cluster.load(archive, [NODE]);
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'restricted', labels } });
    await cluster.kubectl(['wait', '--for=create', '--timeout=60s', '-n', 'restricted', 'serviceaccount/default']);
  }, 60 * MINUTES);

  afterAll(() => cluster.down(), MINUTES);

  const cli = '/usr/local/libexec/aquifer/node /usr/local/lib/aquifer/js/cli/main.js version --client';
  it.each([
    ['operator', cli, `Client Version: ${version}`],
    ['node', cli, `Client Version: ${version}`],
    ['node', '/usr/local/bin/aquifer-connector --version', version],
    ['node', '/usr/local/libexec/aquifer/gateway --version', version],
    ['node', '/usr/local/libexec/aquifer/spawner --version', version],
    ['node', '/usr/local/libexec/aquifer/worker --version', version],
  ])(
    'hold in %s what runs without any privilege: %s',
    async (image, command, expected) => {
      const words = command.split(' ');
      const name = `${image}-${basename(words[0] ?? '')}`;
      await cluster.apply(restrictedPod(name, `aquifer.dev/${image}:${version}`, words));
      const done = [
        'wait',
        '-n',
        'restricted',
        '--for=jsonpath={.status.phase}=Succeeded',
        '--timeout=120s',
        `pod/${name}`,
      ];
      await cluster.kubectl(done).catch(async (error: unknown) => {
        const { stdout } = await cluster.kubectl(['describe', '-n', 'restricted', 'pod', name]);
        throw new Error(`${name} did not succeed:\n${stdout}`, { cause: error });
      });
      expect((await cluster.kubectl(['logs', '-n', 'restricted', name])).stdout).toContain(expected);
    },
    3 * MINUTES,
  );
});
