import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { recordingLog } from '../../test/support/builders.ts';
import { eventually } from '../../test/support/eventually.ts';
import { AGENT, newHolderKey, startOperators } from '../../test/support/node-api-fixture.ts';
import { relayTo } from '../../test/support/tcp-relay.ts';
import { certificateRequest } from '../../test/support/server-certificate.ts';
import { systemClock } from '../runtime/system-clock.ts';
import { followClosings, operatorAuthority } from './operator-authority.ts';

jest.setTimeout(60_000);

let operators: Awaited<ReturnType<typeof startOperators>>;
beforeEach(async () => {
  operators = await startOperators();
  for (const node of ['gpu-1', 'gpu-2']) operators.tokens.set(`${node}-token`, { serviceAccount: AGENT, node });
});
afterEach(() => operators[Symbol.asyncDispose]());

const soon = (): Date => new Date(Date.now() + 2000);
const later = (): Date => new Date(Date.now() + 30_000);

/** The backend of a node: closes what it is told to, once it may. */
function backendOf(node: string, mayClose: Promise<void> = Promise.resolve(), address = operators.address) {
  const asked: string[] = [];
  const stop = new AbortController();
  const operator = operators.client(`${node}-token`, { signal: stop.signal, address });
  const ended = followClosings({
    operator,
    async closeClaim(claimUid, deadline) {
      asked.push(claimUid);
      const timeIsOver = sleep(deadline.getTime() - Date.now(), 'pending', { ref: false });
      return (await Promise.race([mayClose.then(() => 'closed'), timeIsOver])) as 'closed' | 'pending';
    },
    clock: systemClock,
    log: recordingLog(),
    signal: stop.signal,
  });
  const stopped = async (): Promise<void> => {
    stop.abort();
    await ended;
  };
  return { asked, stopped, [Symbol.asyncDispose]: stopped };
}

const follow = (node: string) =>
  eventually(
    () =>
      operators.log.lines.filter(
        ({ text, fields }) => text === 'backend follows' && JSON.stringify(fields).includes(node),
      ).length,
    (count) => count > 0,
  );

test('a claim without a node has no sessions', async () => {
  expect(await operators.close('uid', soon())).toBe('closed');
});

test('a claim is closed once every node of it has closed it', async () => {
  operators.nodesOfClaim.set('uid', ['gpu-1', 'gpu-2']);
  const { promise: mayClose, resolve: allow } = Promise.withResolvers<void>();
  await using one = backendOf('gpu-1');
  await using two = backendOf('gpu-2', mayClose);
  await follow('gpu-1');
  await follow('gpu-2');
  let outcome = '';
  const closing = operators.close('uid', later()).then((result) => (outcome = result));
  await eventually(
    () => [...one.asked, ...two.asked],
    (asked) => asked.length === 2,
  );
  expect(outcome).toBe('');
  allow();
  expect(await closing).toBe('closed');
});

test('a node that cannot close it in time leaves it pending, and closes it when it is asked again', async () => {
  operators.nodesOfClaim.set('uid', ['gpu-1']);
  const { promise: mayClose, resolve: allow } = Promise.withResolvers<void>();
  await using backend = backendOf('gpu-1', mayClose);
  await follow('gpu-1');
  expect(await operators.close('uid', soon())).toBe('pending');
  allow();
  expect(await operators.close('uid', later())).toBe('closed');
  expect(backend.asked).toEqual(['uid', 'uid']);
});

test('a node that is away is asked when it comes', async () => {
  operators.nodesOfClaim.set('uid', ['gpu-1']);
  expect(await operators.close('uid', new Date())).toBe('pending');
  const closing = operators.close('uid', later());
  await using _ = backendOf('gpu-1');
  expect(await closing).toBe('closed');
});

test('a node that has nothing of the claim has no say', async () => {
  operators.nodesOfClaim.set('uid', ['gpu-1']);
  const closing = operators.close('uid', soon());
  await operators.client('gpu-2-token').reportClosing('uid');
  expect(await closing).toBe('pending');
});

test('when another replica leads, backends follow that one', async () => {
  operators.nodesOfClaim.set('uid', ['gpu-1']);
  await using backend = backendOf('gpu-1');
  await follow('gpu-1');
  for (const replica of [1, 0]) {
    operators.leads(replica);
    expect(await operators.close('uid', later())).toBe('closed');
  }
  expect(backend.asked).toEqual(['uid', 'uid']);
});

test('a leader that has lost its power is given up, and the next is followed', async () => {
  operators.nodesOfClaim.set('uid', ['gpu-1']);
  const [first, second] = operators.replicas.map(({ port }) => port);
  await using relay = await relayTo(first ?? 0);
  await using _ = backendOf('gpu-1', Promise.resolve(), `ipv4:127.0.0.1:${relay.port},127.0.0.1:${second ?? 0}`);
  await follow('gpu-1');
  relay.fallSilent();
  operators.leads(1);
  expect(await operators.close('uid', later())).toBe('closed');
});

test('the gateway is answered with the operator’s word', async () => {
  const authority = operatorAuthority(operators.client('gpu-1-token', { patienceMs: 200 }));
  const { csrPem } = await certificateRequest('gpu-1');
  expect(await authority.enrol(csrPem)).toMatchObject({ epoch: 7 });
  await expect(authority.enrol('no request')).rejects.toMatchObject({ name: 'Refused', reason: 'CsrMalformed' });
  await expect(authority.renew('a.b.c', newHolderKey())).rejects.toMatchObject({ reason: 'TicketMalformed' });
  operators.leads(undefined);
  await expect(authority.renew('a.b.c', newHolderKey())).rejects.toMatchObject({ reason: 'NotLeader' });
});
