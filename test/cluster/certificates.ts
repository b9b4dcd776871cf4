import 'reflect-metadata';
import type * as X509 from '@peculiar/x509';
import { randomBytes, webcrypto } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

// Not a static import: those of CommonJS modules may be run before reflect-metadata, which this one asks for when loaded.
const x509 = await import('@peculiar/x509');

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const CLOCK_SKEW_MS = 300_000;
const LIFETIME_MS = 30 * 86_400_000;
const SERVER_AND_CLIENT = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];

export interface Subject {
  readonly name: string;
  /** A group to Kubernetes. */
  readonly organization?: string;
  readonly dns?: readonly string[];
  readonly ips?: readonly string[];
}

/** The certificate authority of one test cluster. Keys and certificates are files in one folder: NAME.key, NAME.crt. */
export class ClusterAuthority {
  readonly folder: string;
  readonly #keys: webcrypto.CryptoKeyPair;
  readonly #certificate: X509.X509Certificate;

  private constructor(folder: string, keys: webcrypto.CryptoKeyPair, certificate: X509.X509Certificate) {
    this.folder = folder;
    this.#keys = keys;
    this.#certificate = certificate;
  }

  static async create(folder: string): Promise<ClusterAuthority> {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      ...validity(),
      name: [{ CN: ['aquifer-test-cluster'] }],
      keys,
      signingAlgorithm: P256,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    const authority = new ClusterAuthority(folder, keys, certificate);
    await authority.#write('ca', keys, certificate);
    return authority;
  }

  /** Writes FILE.key and FILE.crt for both ends of TLS. */
  async issue(file: string, { name, organization, dns = [], ips = [] }: Subject): Promise<void> {
    const keys = await newKeys();
    const names = [
      ...dns.map((value) => ({ type: 'dns' as const, value })),
      ...ips.map((value) => ({ type: 'ip' as const, value })),
    ];
    const certificate = await x509.X509CertificateGenerator.create({
      ...validity(),
      subject: [...(organization === undefined ? [] : [{ O: [organization] }]), { CN: [name] }],
      issuer: this.#certificate.subjectName.toJSON(),
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: P256,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.ExtendedKeyUsageExtension(SERVER_AND_CLIENT),
        ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
        await x509.AuthorityKeyIdentifierExtension.create(this.#keys.publicKey),
      ],
    });
    await this.#write(file, keys, certificate);
  }

  /** Writes FILE.key and FILE.pub, the pair that signs the tokens of ServiceAccounts. */
  async issueKeyPair(file: string): Promise<void> {
    const { privateKey, publicKey } = await newKeys();
    this.#put(`${file}.key`, await pem('pkcs8', privateKey, 'PRIVATE KEY'));
    this.#put(`${file}.pub`, await pem('spki', publicKey, 'PUBLIC KEY'));
  }

  async #write(
    file: string,
    { privateKey }: webcrypto.CryptoKeyPair,
    certificate: X509.X509Certificate,
  ): Promise<void> {
    this.#put(`${file}.key`, await pem('pkcs8', privateKey, 'PRIVATE KEY'));
    this.#put(`${file}.crt`, certificate.toString('pem'));
  }

  #put(file: string, text: string): void {
    writeFileSync(join(this.folder, file), `${text}\n`, { mode: 0o600 });
  }
}

const newKeys = (): Promise<webcrypto.CryptoKeyPair> => webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);

function validity(): { serialNumber: string; notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return {
    serialNumber: `40${randomBytes(15).toString('hex')}`,
    notBefore: new Date(now - CLOCK_SKEW_MS),
    notAfter: new Date(now + LIFETIME_MS),
  };
}

async function pem(format: 'pkcs8' | 'spki', key: webcrypto.CryptoKey, label: string): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey(format, key), label);
}
