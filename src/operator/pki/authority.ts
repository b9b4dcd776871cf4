import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  webcrypto,
  type KeyObject,
} from 'node:crypto';
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
import type { KeyStore } from './key-store.ts';

export interface AuthorityOptions {
  readonly keys: KeyStore;
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

/** Opens the pool's authority; the first start makes it. */
export async function openAuthority({ keys, clock }: AuthorityOptions): Promise<Authority> {
  const ca = await certificateAuthority(keys, clock.now());
  const { key: ticketKey, x } = await ticketSigningKey(keys);
  return {
    id: fingerprint(ca.certificate.publicKey.rawData),
    caPem: ca.certificate.toString('pem'),
    ticketKey,
    ticketKeys: [{ kid: ticketKey.kid, x }],
    signServer: (csrPem, node) => signServer(ca, csrPem, node, clock.now()),
  };
}

const CA = 'ca.pem';
const TICKET_KEY = 'ticket-key.pem';

/** Key and certificate are one text, so that a crash cannot leave one without the other. */
async function certificateAuthority(keys: KeyStore, now: Date): Promise<CertificateAuthority> {
  const text = await keys.keep(CA, () => newAuthority(now));
  const [keyPem, certificatePem] = [block(text, 'PRIVATE KEY'), block(text, 'CERTIFICATE')];
  if (keyPem === undefined || certificatePem === undefined) throw damaged(keys.place(CA));
  const certificate = parseCertificate(certificatePem);
  if (certificate.notAfter < now) {
    const when = certificate.notAfter.toISOString();
    throw new Error(`${keys.place(CA)}: the pool's CA expired on ${when}; move it away for a new one`);
  }
  return { certificate, key: await cryptoKey(createPrivateKey(keyPem)) };
}

async function newAuthority(now: Date): Promise<string> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const pair = {
    privateKey: await cryptoKey(privateKey),
    publicKey: await webcrypto.subtle.importKey('spki', spki, 'Ed25519', true, ['verify']),
  };
  const certificate = await createAuthority(pair, `Aquifer pool CA ${fingerprint(spki)}`, now);
  return `${pemOf(privateKey)}${certificate.toString('pem')}\n`;
}

async function ticketSigningKey(keys: KeyStore): Promise<{ readonly key: SigningKey; readonly x: string }> {
  const make = (): Promise<string> => Promise.resolve(pemOf(generateKeyPairSync('ed25519').privateKey));
  const privateKey = createPrivateKey(await keys.keep(TICKET_KEY, make));
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  if (privateKey.asymmetricKeyType !== 'ed25519' || x === undefined) throw damaged(keys.place(TICKET_KEY));
  return { key: { kid: fingerprint(Buffer.from(x, 'base64url')), privateKey }, x };
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
