import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type * as X509 from '@peculiar/x509';
import { webcrypto, X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '../../../test/support/manual-clock.ts';
import { openAuthority } from './authority.ts';
import { directoryKeys } from './key-store.ts';

const x509 = await import('@peculiar/x509'); // After authority.ts, which makes it loadable.

let directory = '';
const clock = new ManualClock();
const open = () => openAuthority({ keys: directoryKeys(join(directory, 'pki')), clock });

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'aquifer-pki-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

interface CsrOptions {
  readonly names?: readonly string[];
  readonly alternatives?: readonly string[];
  readonly extensions?: X509.Extension[];
  readonly algorithm?: 'Ed25519' | 'P-256' | 'P-384';
}

async function csr({
  names = ['gpu-1'],
  alternatives = ['gpu-1'],
  extensions = [],
  algorithm = 'Ed25519',
}: CsrOptions) {
  const curve = algorithm === 'Ed25519' ? 'Ed25519' : { name: 'ECDSA', namedCurve: algorithm };
  const keys = (await webcrypto.subtle.generateKey(curve, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  return x509.Pkcs10CertificateRequestGenerator.create({
    name: names.map((name) => ({ CN: [name] })),
    keys,
    signingAlgorithm: algorithm === 'Ed25519' ? { name: 'Ed25519' } : { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new x509.SubjectAlternativeNameExtension(alternatives.map((value) => ({ type: 'dns' as const, value }))),
      ...extensions,
    ],
  });
}

describe('the authority', () => {
  test('is made at the first start, for its owner alone, and is the same afterwards', async () => {
    const first = await open();
    const second = await open();
    expect(second).toMatchObject({ id: first.id, caPem: first.caPem, ticketKeys: first.ticketKeys });
    expect(statSync(join(directory, 'pki')).mode & 0o777).toBe(0o700);
    const files = readdirSync(join(directory, 'pki'));
    expect(files.toSorted((a, b) => a.localeCompare(b))).toEqual(['ca.pem', 'ticket-key.pem']);
    for (const file of files) expect(statSync(join(directory, 'pki', file)).mode & 0o777).toBe(0o600);
  });

  test.each(['ca.pem', 'ticket-key.pem'])('says which file is damaged: %s', async (file) => {
    await open();
    writeFileSync(join(directory, 'pki', file), 'rubbish');
    await expect(open()).rejects.toThrow();
  });

  test('signs a gateway’s certificate that OpenSSL accepts: the node’s name, 90 days, for servers', async () => {
    const authority = await open();
    const request = await csr({});
    const signed = await authority.signServer(request.toString('pem'), 'gpu-1');
    if (!signed.ok) throw new Error(signed.error.message);
    const [server, ca] = [new X509Certificate(signed.value), new X509Certificate(authority.caPem)];
    expect(ca.ca).toBe(true);
    expect(server.ca).toBe(false);
    expect(server.checkIssued(ca)).toBe(true);
    expect(server.verify(ca.publicKey)).toBe(true);
    expect(server.checkHost('gpu-1')).toBe('gpu-1');
    expect(server.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(server.validToDate.getTime() - clock.now().getTime()).toBe(90 * 86_400_000);
    const spki = server.publicKey.export({ type: 'spki', format: 'der' });
    expect(Buffer.from(request.publicKey.rawData).equals(spki)).toBe(true);
  });

  test('signs for a key on P-256 too', async () => {
    const request = await csr({ algorithm: 'P-256' });
    expect((await (await open()).signServer(request.toString('pem'), 'gpu-1')).ok).toBe(true);
  });

  const extra = new x509.BasicConstraintsExtension(true);
  const refusals: [string, CsrOptions, string][] = [
    ['another node’s name', { names: ['gpu-2'], alternatives: [] }, 'CsrNameWrong'],
    ['a second name', { names: ['gpu-1', 'gpu-2'] }, 'CsrNameWrong'],
    ['no name', { names: [] }, 'CsrNameWrong'],
    ['another alternative name', { alternatives: ['gpu-1', 'gpu-2'] }, 'CsrNameWrong'],
    ['the wish to be an authority', { extensions: [extra] }, 'CsrAsksForMore'],
    ['a key of another kind', { algorithm: 'P-384' }, 'CsrKeyUnsuitable'],
  ];
  test.each(refusals)('refuses a request with %s', async (_what, options, reason) => {
    const request = await csr(options);
    const answer = await (await open()).signServer(request.toString('pem'), 'gpu-1');
    expect(answer).toMatchObject({ ok: false, error: { reason } });
  });

  test('refuses a request whose sender does not have the key', async () => {
    const der = Buffer.from((await csr({})).rawData);
    der[der.length - 1] = (der.at(-1) ?? 0) ^ 1;
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    expect(await (await open()).signServer(pem, 'gpu-1')).toMatchObject({
      ok: false,
      error: { reason: 'CsrNotOwned' },
    });
  });

  test.each([
    '',
    'rubbish',
    '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----',
    'x'.repeat(20_000),
  ])('refuses what is no request: %#', async (text) => {
    const answer = await (await open()).signServer(text, 'gpu-1');
    expect(answer).toMatchObject({ ok: false, error: { reason: 'CsrMalformed' } });
  });
});
