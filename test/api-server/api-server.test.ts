import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { startApiServer, type ApiServer } from '../support/api-server.ts';
import { ensureBinaries } from '../cluster/binaries.ts';
import { run } from '../cluster/run.ts';

const MINUTES = 60_000;

describe('an API server of its own', () => {
  let server: ApiServer;
  let kubectl: (...words: string[]) => Promise<string>;

  beforeAll(async () => {
    const bin = await ensureBinaries(['etcd', 'kube-apiserver', 'kubectl']);
    server = await startApiServer();
    const env = { KUBECONFIG: server.kubeconfig, KUBECACHEDIR: join(dirname(server.kubeconfig), 'kubectl-cache') };
    kubectl = async (...words) => (await run([join(bin, 'kubectl'), '--request-timeout=2s', ...words], { env })).stdout;
  }, 30 * MINUTES);

  afterAll(async () => {
    const { kubeconfig } = server;
    await server[Symbol.asyncDispose]();
    expect(existsSync(dirname(kubeconfig))).toBe(false);
  });

  it('serves its administrator', async () => {
    await kubectl('create', 'configmap', 'kept', '--from-literal=a=1');
    expect(await kubectl('auth', 'whoami', '--output=jsonpath={.status.userInfo.username}')).toBe('admin');
  });

  it.each([
    ['a restart', () => server.restart()],
    ['a crash', () => server.kill().then(() => server.start())],
  ])(
    'keeps its address and what it stored over %s',
    async (_, happens) => {
      await happens();
      expect(await kubectl('get', 'configmap', 'kept', '--output=jsonpath={.data.a}')).toBe('1');
    },
    5 * MINUTES,
  );

  it(
    'answers nobody while it is stopped or paused',
    async () => {
      server.pause();
      await expect(kubectl('get', '--raw', '/readyz')).rejects.toThrow('ended with 1');
      server.resume();
      expect(await kubectl('get', '--raw', '/readyz')).toBe('ok');
      await server.stop();
      await expect(kubectl('get', '--raw', '/readyz')).rejects.toThrow('refused');
      await server.start();
      expect(await kubectl('get', '--raw', '/readyz')).toBe('ok');
    },
    5 * MINUTES,
  );
});
