import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { recordingLog } from '../../test/support/builders.ts';
import { eventually } from '../../test/support/eventually.ts';
import { FakeKubelet } from '../../test/support/fake-kubelet.ts';
import { AGENT, newHolderKey, startOperators } from '../../test/support/node-api-fixture.ts';
import { SLOT_RESOURCE } from '../api/extended-resource.ts';
import { backendSchema } from '../config/backend.ts';
import { loadConfig } from '../config/load.ts';
import { connectLines } from '../ipc/line-client.ts';
import { systemClock } from '../runtime/system-clock.ts';
import { runAgent } from './agent.ts';

jest.setTimeout(60_000);

const UID = '8ae0c9d4-96cf-4c11-9b2a-35c2b0f5a9d7';

let operators: Awaited<ReturnType<typeof startOperators>>;
let kubelet: FakeKubelet;
beforeEach(async () => {
  operators = await startOperators();
  kubelet = new FakeKubelet();
});
afterEach(async () => {
  await kubelet[Symbol.asyncDispose]();
  await operators[Symbol.asyncDispose]();
});

const configOf = (argv: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  loadConfig(backendSchema, { argv, env, readFile: () => '' });

test('a node without GPUs has the tickets of its containers, and an agent that starts anew goes on', async () => {
  const file = (name: string): string => join(kubelet.directory, name);
  writeFileSync(file('ca.crt'), operators.authority.caPem);
  writeFileSync(file('token'), 'first\n');
  operators.tokens.set('first', { serviceAccount: AGENT, node: 'cpu-1' });
  operators.pods.set('default/pod', { uid: UID, node: 'cpu-1', claims: new Map([['main', 'trainer']]) });
  kubelet.givenOut = new Map([[SLOT_RESOURCE, ['slot-5']]]);
  await kubelet.start();
  const flags = {
    'node-name': 'cpu-1',
    operator: operators.address,
    'operator-ca': file('ca.crt'),
    'operator-token': file('token'),
    'kubelet-dir': kubelet.directory,
    'run-dir': file('run'),
    listen: '127.0.0.1:0',
  };
  const config = configOf(Object.entries(flags).map(([name, value]) => `--${name}=${value}`));
  if (!config.ok) throw new Error(JSON.stringify(config.error));

  for (const round of ['first', 'second']) {
    // Kubelet has written the token anew.
    writeFileSync(file('token'), `${round}\n`);
    operators.tokens.set(round, { serviceAccount: AGENT, node: 'cpu-1' });
    const stop = new AbortController();
    const log = recordingLog();
    const ended = runAgent({ config: config.value, env: {}, clock: systemClock, log, signal: stop.signal });
    const started = () => log.lines.find(({ text }) => text === 'agent started')?.fields;
    const fields = await eventually(started, (line) => line !== undefined);
    expect(statSync(file('run/agent.sock')).mode & 0o777).toBe(0o600);
    const client = await connectLines({ path: file('run/agent.sock'), name: 'connector', version: '0' });
    const wish = { slot: 'slot-5', podUid: UID, holderKey: newHolderKey() };
    expect((await client.request('ticketFor', wish))['ticketFile']).toMatchObject({ kind: 'Ticket' });
    client.close();
    const ask = async (path: string) =>
      (await fetch(`http://127.0.0.1:${String(Reflect.get(fields ?? {}, 'port'))}${path}`)).text();
    expect(await ask('/readyz')).toBe('\n');
    expect(await ask('/metrics')).toContain('aquifer_slot_tickets_total{outcome="Issued"} 1\n');
    stop.abort();
    await ended;
  }
});

test('a node with GPUs says where its gateway and the API server are', () => {
  const problems = (argv: readonly string[], env = {}) => {
    const config = configOf(['--node-name=gpu-1', ...argv], env);
    return config.ok ? [] : config.error.map(({ source, message }) => `${source}: ${message}`);
  };
  expect(problems([])).toEqual([]);
  expect(problems(['--gpus=nvidia'])).toEqual([
    '--endpoint: must be host:port on a node with GPUs',
    '--api-server: must be a URL on a node with GPUs',
  ]);
  const inPod = { NODE_IP: '10.0.0.7', KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  expect(problems(['--software-gpus=2x8Gi'], inPod)).toEqual([]);
  expect(problems(['--gpus=nvidia', '--software-gpus=8Gi'], inPod)).toEqual([
    '--gpus: must be left out where GPUs are made of software',
  ]);
});
