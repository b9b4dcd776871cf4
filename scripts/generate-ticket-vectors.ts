/** Writes test/fixtures/tickets.json: tickets good and bad, made with fixed keys, which both verifiers are tested on. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format } from 'prettier';
import type { TicketPayload } from '../src/api/ticket.ts';
import { signTicket } from '../src/operator/ticket/jws.ts';

const PKCS8_ED25519 = '302e020100300506032b657004220420'; // RFC 8410: what precedes the 32 bytes of a private key.

/** The key whose seed is 32 times this byte: known to everybody, for tests only. */
function fixedKey(byte: number): KeyObject {
  const der = Buffer.concat([Buffer.from(PKCS8_ED25519, 'hex'), Buffer.alloc(32, byte)]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

const publicX = (key: KeyObject): string => createPublicKey(key).export({ format: 'jwk' }).x ?? '';

const NOW = 1_800_000_000;
const EPOCH = 7;
const pool = { kid: 'pool-key', privateKey: fixedKey(1) };
const stranger = { kid: 'pool-key', privateKey: fixedKey(2) };
const holder = publicX(fixedKey(3));

const payload: TicketPayload = {
  iss: '0011223344556677',
  jti: 'ticket-1',
  iat: NOW - 60,
  nbf: NOW - 60,
  exp: NOW + 540,
  epoch: EPOCH,
  claim: { namespace: 'team-a', name: 'trainer', uid: '6f1c2a52-7c0e-4a0a-9b59-0c8f6e1d2b3a' },
  vgpus: [
    {
      index: 0,
      gpu: 'GPU-5f0c6a1e-8b1d-4c57-9d0e-2f6b7a8c9d01',
      memoryBytes: 8 * 1024 ** 3,
      computePercent: 30,
    },
  ],
  maxSessions: 64,
  cnf: { jwk: { kty: 'OKP', crv: 'Ed25519', x: holder } },
};
const { cnf: _cnf, ...unbound } = payload;

const good = signTicket(payload, pool);
const [header = '', body = '', signature = ''] = good.split('.');
const flip = (text: string): string => `${text.slice(0, 20)}${text[20] === 'A' ? 'B' : 'A'}${text.slice(21)}`;
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const richer = part({ ...payload, vgpus: [{ ...payload.vgpus[0], memoryBytes: 80 * 1024 ** 3 }] });

const vectors = {
  comment: 'Made by scripts/generate-ticket-vectors.ts. Times are seconds; a verifier allows 30 s of leeway.',
  now: NOW,
  minEpoch: EPOCH,
  keys: [{ kid: pool.kid, x: publicX(pool.privateKey) }],
  holder,
  otherHolder: publicX(fixedKey(4)),
  tickets: [
    { name: 'valid', ticket: good, result: 'ok' },
    {
      name: 'valid within the leeway after its end',
      ticket: signTicket({ ...payload, exp: NOW - 29 }, pool),
      result: 'ok',
    },
    { name: 'expired', ticket: signTicket({ ...payload, exp: NOW - 31 }, pool), result: 'TicketExpired' },
    { name: 'not yet valid', ticket: signTicket({ ...payload, nbf: NOW + 31 }, pool), result: 'TicketNotYetValid' },
    { name: 'signed with the wrong key', ticket: signTicket(payload, stranger), result: 'TicketForged' },
    {
      name: 'signed with an unknown kid',
      ticket: signTicket(payload, { ...pool, kid: 'other' }),
      result: 'TicketForged',
    },
    { name: 'payload exchanged', ticket: `${header}.${richer}.${signature}`, result: 'TicketForged' },
    { name: 'signature tampered with', ticket: `${header}.${body}.${flip(signature)}`, result: 'TicketForged' },
    { name: 'signature missing', ticket: `${header}.${body}.`, result: 'TicketForged' },
    {
      name: 'algorithm none',
      ticket: `${part({ alg: 'none', typ: 'aquifer-ticket+jwt', kid: pool.kid })}.${body}.`,
      result: 'TicketMalformed',
    },
    { name: 'two parts', ticket: `${header}.${body}`, result: 'TicketMalformed' },
    { name: 'four parts', ticket: `${good}.AAAA`, result: 'TicketMalformed' },
    { name: 'empty', ticket: '', result: 'TicketMalformed' },
    { name: 'without vGPUs', ticket: signTicket({ ...payload, vgpus: [] }, pool), result: 'TicketMalformed' },
    { name: 'unbound', ticket: signTicket(unbound, pool), result: 'ok', unbound: true },
    {
      name: 'of an older epoch',
      ticket: signTicket({ ...payload, epoch: EPOCH - 1 }, pool),
      result: 'EpochTooOld',
      comment: 'Refused by gateways; the operator renews it, for the holder has nothing newer.',
    },
  ],
};

const file = fileURLToPath(new URL('../test/fixtures/tickets.json', import.meta.url));
mkdirSync(fileURLToPath(new URL('../test/fixtures', import.meta.url)), { recursive: true });
writeFileSync(file, await format(JSON.stringify(vectors), { parser: 'json', printWidth: 120 }));
