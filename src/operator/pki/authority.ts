import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  webcrypto,
  type KeyObject,
} from 'node:crypto';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { Result } from '../../lib/result.ts';
import type { SigningKey, VerifyingKey } from '../ticket/jws.ts';
import {
  createAuthority,
  parseCertificate,
  signServer,
  type CertificateAuthority,
  type CsrRefusal,
} from './certificate.ts';
import { readIfThere, writeDurably } from './durable-file.ts';

export interface AuthorityOptions {
  /** Made with mode 0700 if it is not there; holds the secrets of the pool. One process at a time may use it. */
  readonly directory: string;
  readonly clock: Pick<Clock, 'now'>;
}

/** All that the pool signs with. */
export interface Authority {
  /** Names the pool in tickets. */
  readonly id: string;
  readonly caPem: string;
  readonly ticketKey: SigningKey;
  readonly ticketKeys: readonly VerifyingKey[];
  signServer(csrPem: string, node: string): Promise<Result<string, CsrRefusal>>;
}

/** Opens the pool's authority; the first start makes it. Each key is in one file, which is there whole or not at all. */
export async function openAuthority({ directory, clock }: AuthorityOptions): Promise<Authority> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
  const ca = await certificateAuthority(join(directory, 'ca.pem'), clock.now());
  const { key: ticketKey, x } = ticketSigningKey(join(directory, 'ticket-key.pem'));
  return {
    id: fingerprint(ca.certificate.publicKey.rawData),
    caPem: ca.certificate.toString('pem'),
    ticketKey,
    ticketKeys: [{ kid: ticketKey.kid, x }],
    signServer: (csrPem, node) => signServer(ca, csrPem, node, clock.now()),
  };
}

/** Key and certificate are one file, so that a crash cannot leave one without the other. */
async function certificateAuthority(path: string, now: Date): Promise<CertificateAuthority> {
  const text = readIfThere(path) ?? (await newAuthorityFile(path, now));
  const [keyPem, certificatePem] = [block(text, 'PRIVATE KEY'), block(text, 'CERTIFICATE')];
  if (keyPem === undefined || certificatePem === undefined) throw damaged(path);
  const certificate = parseCertificate(certificatePem);
  if (certificate.notAfter < now) {
    throw new Error(
      `${path}: the pool's CA expired on ${certificate.notAfter.toISOString()}; move it away for a new one`,
    );
  }
  return { certificate, key: await cryptoKey(createPrivateKey(keyPem)) };
}

async function newAuthorityFile(path: string, now: Date): Promise<string> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const keys = {
    privateKey: await cryptoKey(privateKey),
    publicKey: await webcrypto.subtle.importKey('spki', spki, 'Ed25519', true, ['verify']),
  };
  const certificate = await createAuthority(keys, `Aquifer pool CA ${fingerprint(spki)}`, now);
  const text = `${pemOf(privateKey)}${certificate.toString('pem')}\n`;
  writeDurably(path, text);
  return text;
}

function ticketSigningKey(path: string): { readonly key: SigningKey; readonly x: string } {
  const privateKey = createPrivateKey(readIfThere(path) ?? newKeyFile(path));
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  if (privateKey.asymmetricKeyType !== 'ed25519' || x === undefined) throw damaged(path);
  return { key: { kid: fingerprint(Buffer.from(x, 'base64url')), privateKey }, x };
}

function newKeyFile(path: string): string {
  const text = pemOf(generateKeyPairSync('ed25519').privateKey);
  writeDurably(path, text);
  return text;
}

const pemOf = (key: KeyObject): string => String(key.export({ type: 'pkcs8', format: 'pem' }));

const cryptoKey = (key: KeyObject): Promise<webcrypto.CryptoKey> =>
  webcrypto.subtle.importKey('pkcs8', key.export({ type: 'pkcs8', format: 'der' }), 'Ed25519', false, ['sign']);

const fingerprint = (bytes: BinaryLike): string =>
  createHash('sha256').update(new Uint8Array(bytes)).digest('hex').slice(0, 16);

type BinaryLike = ArrayBuffer | Uint8Array;

const block = (text: string, label: string): string | undefined =>
  new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----`).exec(text)?.[0];

const damaged = (path: string): Error =>
  new Error(`${path}: damaged; restore it from a copy, or move it away for a new one`);
