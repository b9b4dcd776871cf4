import { describe, expect, test } from '@jest/globals';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { boundTo, claim as claimOf } from '../../../test/support/builders.ts';
import { ManualClock } from '../../../test/support/manual-clock.ts';
import { err, ok } from '../../lib/result.ts';
import type { TicketLedger } from '../ports.ts';
import { ticketIssuer, type IssuerOptions } from './issuer.ts';
import { verifyTicket } from './jws.ts';

const newKey = () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    privateKey,
    x: createPublicKey(publicKey.export({ type: 'spki', format: 'pem' })).export({ format: 'jwk' }).x ?? '',
  };
};
const pool = newKey();
const [alice, mallory] = [newKey().x, newKey().x];

function ledgerInMemory(): TicketLedger {
  const holders = new Map<string, string>();
  return {
    async claim(jti, holder) {
      const known = holders.get(jti);
      if (known === undefined) holders.set(jti, holder);
      return known === undefined ? 'first' : known === holder ? 'same' : 'other';
    },
  };
}

function issuing(more: Partial<IssuerOptions> = {}) {
  const clock = new ManualClock();
  let ids = 0;
  const keys = [{ kid: 'k', x: pool.x }];
  const issuer = ticketIssuer({
    issuer: 'pool-1',
    key: { kid: 'k', privateKey: pool.privateKey },
    acceptedKeys: keys,
    epoch: 3,
    ledger: ledgerInMemory(),
    clock,
    claimForTicket: () => ok(claimOf('trainer', { status: boundTo() })),
    newId: () => `id-${++ids}`,
    ...more,
  });
  const payloadOf = (text: string) => verifyTicket(text, keys, clock.now().getTime() / 1000);
  return { issuer, clock, payloadOf };
}

/** The text of a ticket that must have been given. */
function given(result: ReturnType<ReturnType<typeof ticketIssuer>['sign']>): string {
  if (!result.ok) throw new Error(result.error.message);
  return result.value.text;
}

const wish = { claim: { namespace: 'team-a', name: 'trainer' } };

describe('a ticket', () => {
  test('of a claim with access Local is for its own node alone', () => {
    const local = claimOf('trainer', { spec: { access: 'Local' }, status: boundTo() });
    const { issuer } = issuing({ claimForTicket: () => ok(local) });
    expect(issuer.sign({ ...wish, node: 'gpu-1' }).ok).toBe(true);
    const refused = (message: string) => ({ ok: false, error: { reason: 'ClaimIsLocal', message } });
    const why = 'claim trainer has access Local: only programs on gpu-1 use it';
    expect(issuer.sign({ ...wish, node: 'cpu-1' })).toEqual(refused(`${why}, not those on cpu-1`));
    expect(issuer.sign(wish)).toEqual(refused(why));
  });

  test('says how the claim is divided, and no more sessions than it may have', () => {
    const share = { name: 'small', memory: '1Gi', compute: 5, maxSessions: 2 };
    const nested = { shares: [share], defaultShare: 'small', maxSessions: 4, oversubscribe: false };
    const divided = claimOf('trainer', { spec: { nested }, status: boundTo() });
    const { issuer, payloadOf } = issuing({ claimForTicket: () => ok(divided) });
    const payload = payloadOf(given(issuer.sign(wish)));
    expect(payload.ok && [payload.value.maxSessions, payload.value.nested]).toEqual([
      4,
      {
        shares: [{ name: 'small', memoryBytes: 2 ** 30, computePercent: 5, maxSessions: 2 }],
        defaultShare: 'small',
        oversubscribe: false,
      },
    ]);
  });

  test('says for how long a lost program is waited for, where the claim does', () => {
    const patient = claimOf('trainer', { spec: { gracePeriodSeconds: 7 }, status: boundTo() });
    const { issuer, payloadOf } = issuing({ claimForTicket: () => ok(patient) });
    const payload = payloadOf(given(issuer.sign(wish)));
    expect(payload.ok && payload.value.gracePeriodSeconds).toBe(7);
  });

  test('says what the claim has, for whom, and until when', () => {
    const { issuer, payloadOf } = issuing();
    const payload = payloadOf(given(issuer.sign({ ...wish, holderKey: alice, lifetimeSeconds: 60 })));
    const iat = Date.parse('2026-01-01T00:00:00Z') / 1000;
    expect(payload.ok && payload.value).toEqual({
      iss: 'pool-1',
      jti: 'id-1',
      iat,
      nbf: iat,
      exp: iat + 60,
      epoch: 3,
      claim: { namespace: 'team-a', name: 'trainer', uid: 'uid-trainer' },
      vgpus: [{ index: 0, gpu: 'GPU-a', memoryBytes: 4 * 1024 ** 3, computePercent: 25 }],
      maxSessions: 64,
      cnf: { jwk: { kty: 'OKP', crv: 'Ed25519', x: alice } },
    });
  });

  test.each([
    ['a key that is none', { holderKey: 'abc' }, 'HolderKeyInvalid'],
    ['a key with stray bits', { holderKey: `${'A'.repeat(42)}B` }, 'HolderKeyInvalid'],
    ['no time at all', { lifetimeSeconds: 0 }, 'LifetimeInvalid'],
    ['more than a day', { lifetimeSeconds: 86_401 }, 'LifetimeInvalid'],
  ])('is refused for %s', (_what, more, reason) => {
    expect(issuing().issuer.sign({ ...wish, ...more })).toMatchObject({ ok: false, error: { reason } });
  });

  test('is neither signed nor renewed while the claim has no vGPUs', async () => {
    let bound = true;
    const refusal = err({ reason: 'ClaimNotBound', message: 'claim team-a/trainer is Pending' } as const);
    const { issuer } = issuing({
      claimForTicket: () => (bound ? ok(claimOf('trainer', { status: boundTo() })) : refusal),
    });
    const ticket = given(issuer.sign({ ...wish, holderKey: alice }));
    bound = false;
    expect(issuer.sign(wish)).toEqual(refusal);
    expect(await issuer.renew(ticket, alice)).toEqual(refusal);
  });
});

describe('renew', () => {
  test('gives the holder a fresh ticket of the epoch of now, and nobody else', async () => {
    const { issuer, clock, payloadOf } = issuing();
    const ticket = given(issuer.sign({ ...wish, holderKey: alice }));
    await clock.advance(300_000);
    const renewed = payloadOf(given(await issuer.renew(ticket, alice)));
    expect(renewed.ok && renewed.value.exp).toBe(Date.parse('2026-01-01T00:15:00Z') / 1000);
    expect(await issuer.renew(ticket, mallory)).toMatchObject({ ok: false, error: { reason: 'TicketStolen' } });
  });

  test('takes a ticket of an older epoch, for the holder has no other, but none of a newer', async () => {
    const older = given(issuing({ epoch: 2 }).issuer.sign({ ...wish, holderKey: alice }));
    const newer = given(issuing({ epoch: 4 }).issuer.sign({ ...wish, holderKey: alice }));
    const { issuer } = issuing({ epoch: 3 });
    expect((await issuer.renew(older, alice)).ok).toBe(true);
    expect(await issuer.renew(newer, alice)).toMatchObject({ ok: false, error: { reason: 'EpochTooNew' } });
  });

  test('refuses an expired ticket', async () => {
    const { issuer, clock } = issuing();
    const ticket = given(issuer.sign({ ...wish, holderKey: alice, lifetimeSeconds: 10 }));
    await clock.advance(41_000);
    expect(await issuer.renew(ticket, alice)).toMatchObject({ ok: false, error: { reason: 'TicketExpired' } });
  });

  test('exchanges an unbound ticket for the first key that presents it, and for no other', async () => {
    const { issuer, payloadOf } = issuing();
    const ticket = given(issuer.sign(wish));
    const bound = payloadOf(given(await issuer.renew(ticket, alice)));
    expect(bound.ok && bound.value.cnf?.jwk.x).toBe(alice);
    expect(await issuer.renew(ticket, mallory)).toMatchObject({ ok: false, error: { reason: 'TicketExchanged' } });
    expect((await issuer.renew(ticket, alice)).ok).toBe(true); // Its answer may have been lost.
  });

  test('does not use up an unbound ticket that it refuses for another reason', async () => {
    let bound = false;
    const { issuer } = issuing({
      claimForTicket: ({ uid }) =>
        bound || uid === undefined
          ? ok(claimOf('trainer', { status: boundTo() }))
          : err({ reason: 'ClaimNotBound', message: 'not now' }),
    });
    const ticket = given(issuer.sign(wish));
    expect((await issuer.renew(ticket, mallory)).ok).toBe(false);
    bound = true;
    expect((await issuer.renew(ticket, alice)).ok).toBe(true);
  });
});
