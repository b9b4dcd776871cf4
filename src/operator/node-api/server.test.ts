import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { X509Certificate } from 'node:crypto';
import { connect } from 'node:net';
import { once } from 'node:events';
import { eventually } from '../../../test/support/eventually.ts';
import { AGENT, newHolderKey, startOperators } from '../../../test/support/node-api-fixture.ts';
import { certificateRequest } from '../../../test/support/server-certificate.ts';
import { rpcClient } from '../../grpc/client.ts';
import { operatorClient } from '../../grpc/operator-client.ts';
import { err } from '../../lib/result.ts';
import { NodeAgents } from '../../protocol/node-agent.generated.ts';
import { systemClock } from '../../runtime/system-clock.ts';
import { verifyTicket } from '../ticket/jws.ts';

jest.setTimeout(60_000);

let operators: Awaited<ReturnType<typeof startOperators>>;
beforeEach(async () => {
  operators = await startOperators();
  operators.tokens.set('cpu-1-token', { serviceAccount: AGENT, node: 'cpu-1' });
  operators.tokens.set('gpu-1-token', { serviceAccount: AGENT, node: 'gpu-1' });
  operators.pods.set('team-a/train', { uid: 'pod-uid', node: 'cpu-1', claims: new Map([['main', 'trainer']]) });
});
afterEach(() => operators[Symbol.asyncDispose]());

const holderKey = newHolderKey();
const wish = { podNamespace: 'team-a', podName: 'train', podUid: 'pod-uid', container: 'main', holderKey };

describe('who calls', () => {
  test.each<[string, object | undefined, object]>([
    ['shows no good token', undefined, { code: 'UNAUTHENTICATED', reason: 'Unauthenticated' }],
    [
      'is no agent',
      { serviceAccount: 'team-a/default', node: 'cpu-1' },
      { code: 'PERMISSION_DENIED', reason: 'NotAnAgent' },
    ],
    [
      'has a token of no node',
      { serviceAccount: AGENT, node: undefined },
      { code: 'PERMISSION_DENIED', reason: 'NoNode' },
    ],
  ])('%s: is refused', async (_, owner, refusal) => {
    if (owner !== undefined) operators.tokens.set('x', owner as never);
    const client = operators.client('x');
    await expect(client.issueTicket(wish)).rejects.toMatchObject(refusal);
    await expect(client.enrol('')).rejects.toMatchObject(refusal);
    await expect(client.reportClosing('uid')).rejects.toMatchObject(refusal);
    const following = (async () => {
      for await (const _closing of client.closings()) throw new Error('followed');
    })();
    await expect(following).rejects.toMatchObject(refusal);
  });

  test('is asked about once, however often it calls', async () => {
    const client = operators.client('cpu-1-token');
    for (let i = 0; i < 10; i++) await client.issueTicket(wish);
    expect(operators.world.reviews).toBeLessThanOrEqual(2); // Each replica asks for itself.
  });

  test('cannot be told while the API server is away, and that passes', async () => {
    operators.world.apiIsAway = true;
    await expect(operators.client('cpu-1-token', { patienceMs: 200 }).issueTicket(wish)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      reason: 'ReviewFailed',
    });
    const patient = operators.client('cpu-1-token').issueTicket(wish);
    operators.world.apiIsAway = false;
    expect(await patient).toMatchObject({ kind: 'Ticket' });
  });
});

describe('a server that is not the operator', () => {
  test('has a certificate of another authority: nothing is told to it', async () => {
    await using others = await startOperators();
    const client = operators.client('cpu-1-token', { caPem: others.authority.caPem, patienceMs: 200 });
    await expect(client.issueTicket(wish)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(operators.world.reviews).toBe(0);
  });

  test('has the certificate of a gateway of the same pool: nothing is told to it', async () => {
    const client = operators.client('cpu-1-token', { serverName: 'gpu-1', patienceMs: 200 });
    await expect(client.issueTicket(wish)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(operators.world.reviews).toBe(0);
  });
});

describe('a ticket', () => {
  const ticketOf = (token: string, change: Partial<typeof wish> = {}) =>
    operators.client(token).issueTicket({ ...wish, ...change });

  test('is given for a container on the agent’s node, bound to its key, with all that a connector needs', async () => {
    const file = await ticketOf('cpu-1-token');
    expect(file).toMatchObject({
      metadata: { namespace: 'team-a', name: 'trainer' },
      ca: operators.authority.caPem,
      endpoints: [{ node: 'gpu-1', address: 'gpu-1:9960' }],
    });
    expect(verifyTicket(file.ticket, operators.authority.ticketKeys, Date.now() / 1000)).toMatchObject({
      ok: true,
      value: { epoch: 7, claim: { name: 'trainer' }, cnf: { jwk: { x: holderKey } } },
    });
  });

  test('of another node’s pod is refused in the words of a pod that does not exist', async () => {
    const words = (promise: Promise<unknown>) =>
      promise.then(String, ({ code, message }: { code: string; message: string }) => `${code} ${message}`);
    expect(await words(ticketOf('gpu-1-token'))).toBe(
      'NOT_FOUND there is no pod team-a/train with the UID pod-uid on node gpu-1',
    );
    operators.pods.clear();
    expect(await words(ticketOf('gpu-1-token'))).toBe(
      'NOT_FOUND there is no pod team-a/train with the UID pod-uid on node gpu-1',
    );
  });

  test.each<[string, Partial<typeof wish>, object]>([
    ['an earlier pod of the same name', { podUid: 'older' }, { code: 'NOT_FOUND', reason: 'PodNotFound' }],
    ['a pod of another namespace', { podNamespace: 'team-b' }, { code: 'NOT_FOUND', reason: 'PodNotFound' }],
    ['a container without a claim', { container: 'sidecar' }, { code: 'FAILED_PRECONDITION', reason: 'NoClaim' }],
    ['a holder without a key', { holderKey: '' }, { code: 'INVALID_ARGUMENT', reason: 'BadRequest' }],
    ['a name that is none', { podName: 'x'.repeat(254) }, { code: 'INVALID_ARGUMENT', reason: 'BadRequest' }],
    ['more than anybody has to say', { podName: 'x'.repeat(100_000) }, { code: 'RESOURCE_EXHAUSTED' }],
  ])('for %s is refused', async (_, change, refusal) => {
    await expect(ticketOf('cpu-1-token', change)).rejects.toMatchObject(refusal);
  });

  test('for a claim that is not bound is refused with the reason that its user sees', async () => {
    const message = 'claim team-a/trainer is Pending: no GPU has 8Gi free';
    operators.world.claimForTicket = () => err({ reason: 'ClaimNotBound', message });
    await expect(ticketOf('cpu-1-token')).rejects.toMatchObject({ reason: 'ClaimNotBound', message });
  });

  test('is waited for while the leader still reads the claims', async () => {
    const given = operators.world.claimForTicket;
    operators.world.claimForTicket = () => err({ reason: 'OperatorStarting', message: 'still reading' });
    const file = ticketOf('cpu-1-token');
    await eventually(
      () => operators.world.reviews,
      (reviews) => reviews > 0,
    );
    operators.world.claimForTicket = given;
    expect(await file).toMatchObject({ kind: 'Ticket' });
  });

  test('is signed by whoever leads, and by nobody while nobody does', async () => {
    const client = operators.client('cpu-1-token');
    for (const replica of [0, 1, 0]) {
      operators.leads(replica);
      for (let i = 0; i < 4; i++) expect(await client.issueTicket(wish)).toMatchObject({ kind: 'Ticket' });
    }
    operators.leads(undefined);
    const impatient = operators.client('cpu-1-token', { patienceMs: 300 });
    await expect(impatient.issueTicket(wish)).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'NotLeader' });
  });

  test('is had from a replica that leads and came after the client had looked for all', async () => {
    const [first, second] = operators.replicas.map(({ port }) => `127.0.0.1:${port}`);
    let known = `ipv4:${first}`;
    using client = operatorClient({
      get address() {
        return known;
      },
      caPem: operators.authority.caPem,
      serverName: 'aquifer-operator',
      token: () => Promise.resolve('cpu-1-token'),
      clock: systemClock,
      signal: new AbortController().signal,
      patienceMs: 20_000,
    });
    expect(await client.issueTicket(wish)).toMatchObject({ kind: 'Ticket' });
    operators.leads(1);
    known = `ipv4:${first},${second}`;
    expect(await client.issueTicket(wish)).toMatchObject({ kind: 'Ticket' });
  });

  test('is renewed for its holder, and for nobody else', async () => {
    const { ticket } = await ticketOf('cpu-1-token');
    const client = operators.client('gpu-1-token');
    expect(
      verifyTicket(await client.renewTicket(ticket, holderKey), operators.authority.ticketKeys, Date.now() / 1000).ok,
    ).toBe(true);
    await expect(client.renewTicket(ticket, newHolderKey())).rejects.toMatchObject({ reason: 'TicketStolen' });
    await expect(client.renewTicket('a.b.c', holderKey)).rejects.toMatchObject({ reason: 'TicketMalformed' });
  });
});

describe('a gateway', () => {
  test('is enrolled by any replica, under the name of its node', async () => {
    operators.leads(undefined);
    const { csrPem } = await certificateRequest('gpu-1');
    for (let i = 0; i < 4; i++) {
      const enrolled = await operators.client('gpu-1-token').enrol(csrPem);
      expect(new X509Certificate(enrolled.certificatePem).subjectAltName).toBe('DNS:gpu-1');
      expect(enrolled).toMatchObject({
        caPem: operators.authority.caPem,
        epoch: 7,
        ticketKeys: operators.authority.ticketKeys,
      });
    }
  });

  test('of another node is not', async () => {
    const { csrPem } = await certificateRequest('gpu-2');
    await expect(operators.client('gpu-1-token').enrol(csrPem)).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
      reason: 'CsrNameWrong',
    });
  });
});

test('a session is reported under the node of the token', async () => {
  const report = {
    session: 'a'.repeat(32),
    claimNamespace: 'team-a',
    claimName: 'trainer',
    claimUid: 'u',
    ended: true,
    reason: 'Exited',
  };
  await operators.client('gpu-1-token').reportSession(report);
  expect(operators.reports).toEqual([
    {
      node: 'gpu-1',
      session: 'a'.repeat(32),
      claim: { namespace: 'team-a', name: 'trainer', uid: 'u' },
      ended: true,
      reason: 'Exited',
    },
  ]);
  await expect(operators.client('gpu-1-token').reportSession({ ...report, session: 'A' })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  });
});

describe('bytes that are no call', () => {
  test('in plain text end the connection, and nothing else happens', async () => {
    const socket = connect(operators.replicas[0]?.port ?? 0, '127.0.0.1');
    await once(socket, 'connect');
    socket.on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await once(socket, 'close');
    expect(await operators.client('cpu-1-token').issueTicket(wish)).toMatchObject({ kind: 'Ticket' });
  });

  test('that are no message are refused', async () => {
    const broken = {
      ...NodeAgents,
      methods: {
        ...NodeAgents.methods,
        Enrol: {
          ...NodeAgents.methods.Enrol,
          request: { encode: () => Uint8Array.from([0x0a, 99]), decode: () => ({}) },
        },
      },
    };
    using client = rpcClient(broken, {
      address: operators.address,
      caPem: operators.authority.caPem,
      serverName: 'aquifer-operator',
    });
    await expect(client.Enrol({}, { timeoutMs: 5000 })).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(await operators.client('cpu-1-token').issueTicket(wish)).toMatchObject({ kind: 'Ticket' });
  });
});
