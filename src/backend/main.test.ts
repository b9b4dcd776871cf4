import { expect, jest, test } from '@jest/globals';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { BackgroundProgram } from '../../test/support/background-program.ts';
import { FakeKubelet } from '../../test/support/fake-kubelet.ts';
import { newHolderKey, startOperators } from '../../test/support/node-api-fixture.ts';
import { SLOT_RESOURCE } from '../api/extended-resource.ts';
import { connectLines } from '../ipc/line-client.ts';

const MAIN = resolve(import.meta.dirname, 'main.ts');
const START_MS = 60_000;

jest.setTimeout(2 * START_MS);

test('an agent that is stopped ends, although the operator takes its connection and says nothing', async () => {
  await using operators = await startOperators();
  await using kubelet = new FakeKubelet();
  kubelet.givenOut = new Map([[SLOT_RESOURCE, ['slot-5']]]);
  await kubelet.start();
  const silent = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const file = (name: string): string => join(kubelet.directory, name);
  writeFileSync(file('ca.crt'), operators.authority.caPem);
  writeFileSync(file('token'), 'token\n');
  const words = [
    '--node-name=cpu-1',
    `--operator=ipv4:127.0.0.1:${(silent.address() as AddressInfo).port}`,
    `--operator-ca=${file('ca.crt')}`,
    `--operator-token=${file('token')}`,
    `--kubelet-dir=${kubelet.directory}`,
    `--run-dir=${file('run')}`,
    '--listen=127.0.0.1:0',
  ];
  const agent = new BackgroundProgram('agent', [process.execPath, MAIN, ...words], file('log'));
  await agent.start(() => Promise.resolve(agent.log.includes('agent started')), START_MS);
  const connector = await connectLines({ path: file('run/agent.sock'), name: 'connector', version: '0' });
  const connected = once(silent, 'connection');
  const asked = connector.request('ticketFor', { slot: 'slot-5', podUid: 'uid', holderKey: newHolderKey() });
  asked.catch(() => undefined);
  await connected;
  await agent.end('SIGTERM'); // It throws when the agent had to be killed.
  expect(agent.log).toContain('agent stops');
  silent.close();
});
