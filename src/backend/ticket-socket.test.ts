import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { join } from 'node:path';
import { FakeKubelet } from '../../test/support/fake-kubelet.ts';
import { recordingLog } from '../../test/support/builders.ts';
import { AGENT, newHolderKey, startOperators } from '../../test/support/node-api-fixture.ts';
import { SLOT_RESOURCE } from '../api/extended-resource.ts';
import { ticketFileSchema } from '../api/ticket-file.ts';
import { connectLines, type LineClient } from '../ipc/line-client.ts';
import { systemClock } from '../runtime/system-clock.ts';
import { serveTickets } from './ticket-socket.ts';

jest.setTimeout(60_000);

const UID = '8ae0c9d4-96cf-4c11-9b2a-35c2b0f5a9d7';
/** Where the fixture's claim is bound. */
const NODE = 'node-1';

let operators: Awaited<ReturnType<typeof startOperators>>;
let kubelet: FakeKubelet;
let stack: AsyncDisposableStack;
let counts: string[];
beforeEach(async () => {
  operators = await startOperators();
  operators.tokens.set('token', { serviceAccount: AGENT, node: NODE });
  operators.pods.set('default/pod', { uid: UID, node: NODE, claims: new Map([['main', 'trainer']]) });
  kubelet = new FakeKubelet();
  kubelet.givenOut = new Map([[SLOT_RESOURCE, ['slot-5']]]);
  await kubelet.start();
  stack = new AsyncDisposableStack();
  counts = [];
});
afterEach(async () => {
  await stack.disposeAsync();
  await kubelet[Symbol.asyncDispose]();
  await operators[Symbol.asyncDispose]();
});

/** A connector of the node, connected to its agent. */
async function connector(gateway?: { readonly node: string; readonly socket: string }): Promise<LineClient> {
  const socket = join(kubelet.directory, 'agent.sock');
  stack.use(
    await serveTickets({
      socket,
      kubeletDir: kubelet.directory,
      operator: operators.client('token'),
      gateway,
      counted: (outcome) => counts.push(outcome),
      clock: systemClock,
      log: recordingLog(),
      signal: new AbortController().signal,
    }),
  );
  const client = await connectLines({ path: socket, name: 'connector', version: '0', timeoutMs: 30_000 });
  stack.defer(() => client.close());
  return client;
}

const wish = (more: object = {}) => ({ slot: 'slot-5', podUid: UID, holderKey: newHolderKey(), ...more });

test('the container that has the slot gets the ticket of its claim', async () => {
  const client = await connector();
  const { ticketFile } = await client.request('ticketFor', wish());
  const { metadata, endpoints } = ticketFileSchema.parse(ticketFile);
  expect(metadata.name).toBe('trainer');
  expect(endpoints[0]?.address).not.toContain('unix:');
  expect(counts).toEqual(['Issued']);
});

test('on the node of the GPU the gateway is reached through its socket', async () => {
  const elsewhere = await connector({ node: 'another', socket: '/run/aquifer/gateway.sock' });
  const over = ticketFileSchema.parse((await elsewhere.request('ticketFor', wish()))['ticketFile']).endpoints;
  const [{ node } = { node: '' }] = over;
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
  const here = await connector({ node, socket: '/run/aquifer/gateway.sock' });
  const { endpoints } = ticketFileSchema.parse((await here.request('ticketFor', wish()))['ticketFile']);
  expect(endpoints).toEqual([{ node, address: 'unix:/run/aquifer/gateway.sock' }]);
});

test('nobody else gets it', async () => {
  const client = await connector();
  const refusal = (fields: object) =>
    client.request('ticketFor', wish(fields)).then(
      () => 'granted',
      (error: { readonly reason?: string }) => error.reason,
    );
  expect(await refusal({ podUid: UID.replace('8', '9') })).toBe('PodNotFound');
  expect(await refusal({ slot: 'slot-6' })).toBe('SlotNotHeld');
  expect(await refusal({ slot: 5 })).toBe('BadRequest');
  expect(await refusal({ holderKey: 'short' })).toBe('BadRequest');
  operators.pods.set('default/pod', { uid: UID, node: NODE, claims: new Map() });
  expect(await refusal({})).toBe('NoClaim');
  operators.pods.set('default/pod', { uid: UID, node: 'another', claims: new Map([['main', 'trainer']]) });
  expect(await refusal({})).toBe('PodNotFound');
  expect(counts).toEqual(['PodNotFound', 'SlotNotHeld', 'BadRequest', 'BadRequest', 'NoClaim', 'PodNotFound']);
  await expect(client.request('publish')).rejects.toThrow('there is no "publish"');
});

test('who could not be asked is said', async () => {
  const client = await connector();
  operators.leads(undefined);
  await expect(client.request('ticketFor', wish())).rejects.toMatchObject({ reason: 'NotLeader' });
  kubelet.kill();
  await expect(client.request('ticketFor', wish())).rejects.toMatchObject({ reason: 'KubeletAway' });
});
