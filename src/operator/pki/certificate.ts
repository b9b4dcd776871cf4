import 'reflect-metadata';
import type * as X509 from '@peculiar/x509';
import { randomBytes, webcrypto } from 'node:crypto';
import { err, ok, type Result } from '../../lib/result.ts';

// Not a static import: those of CommonJS modules may be run before reflect-metadata, which this one asks for when loaded.
const x509 = await import('@peculiar/x509');

/** The certificate authority of one pool: it vouches for gateways, by the name of their node and nothing else. */
export interface CertificateAuthority {
  readonly certificate: X509.X509Certificate;
  readonly key: webcrypto.CryptoKey;
}

export interface CsrRefusal {
  readonly reason: 'CsrMalformed' | 'CsrNotOwned' | 'CsrNameWrong' | 'CsrAsksForMore' | 'CsrKeyUnsuitable';
  readonly message: string;
}

const ED25519 = { name: 'Ed25519' };
const DAY_MS = 86_400_000;
const CA_DAYS = 3650; // It is in every ticket file: a new one means new tickets for all.
const SERVER_DAYS = 90; // Gateways enrol again long before.
const CLOCK_SKEW_MS = 300_000; // A connector whose clock is a little slow must not refuse a new certificate.
const MAX_CSR_LENGTH = 16_384;
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

/** A new authority that signs itself. `name` becomes its common name. */
export async function createAuthority(
  keys: webcrypto.CryptoKeyPair,
  name: string,
  now: Date,
): Promise<X509.X509Certificate> {
  return x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: [{ CN: [name] }],
    notBefore: new Date(now.getTime() - CLOCK_SKEW_MS),
    notAfter: new Date(now.getTime() + CA_DAYS * DAY_MS),
    keys,
    signingAlgorithm: ED25519,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
}

export const parseCertificate = (pem: string): X509.X509Certificate => new x509.X509Certificate(pem);

/**
 * Signs the server certificate of a node's gateway. The request must prove that its sender has the key, carry the node's
 * name, and ask for nothing else; what the certificate allows is decided here.
 */
export async function signServer(
  { certificate, key }: CertificateAuthority,
  csrPem: string,
  node: string,
  now: Date,
): Promise<Result<string, CsrRefusal>> {
  const csr = parseCsr(csrPem);
  if (csr === undefined) return err({ reason: 'CsrMalformed', message: 'not a certificate request in PEM' });
  const refusal = refuseCsr(csr, node);
  if (refusal !== undefined) return err(refusal);
  if (!(await isSignedByItsKey(csr))) {
    return err({ reason: 'CsrNotOwned', message: 'the request is not signed with the key that it carries' });
  }
  const server = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: [{ CN: [node] }],
    issuer: certificate.subjectName.toJSON(),
    notBefore: new Date(now.getTime() - CLOCK_SKEW_MS),
    notAfter: new Date(now.getTime() + SERVER_DAYS * DAY_MS),
    publicKey: csr.publicKey,
    signingKey: key,
    signingAlgorithm: ED25519,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([SERVER_AUTH]),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: node }]),
      await x509.AuthorityKeyIdentifierExtension.create(certificate.publicKey),
    ],
  });
  return ok(server.toString('pem'));
}

/** A request for the certificate of a server of that name, and its key. */
export async function certificateRequest(name: string): Promise<{ readonly csrPem: string; readonly keyPem: string }> {
  const keys = (await webcrypto.subtle.generateKey(ED25519, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [name] }],
    keys,
    signingAlgorithm: ED25519,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: name }])],
  });
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return { csrPem: csr.toString('pem'), keyPem: `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n` };
}

function parseCsr(pem: string): X509.Pkcs10CertificateRequest | undefined {
  if (pem.length > MAX_CSR_LENGTH) return undefined;
  try {
    return new x509.Pkcs10CertificateRequest(pem);
  } catch {
    return undefined; // The peer's bytes: what is wrong with them is the peer's business.
  }
}

async function isSignedByItsKey(csr: X509.Pkcs10CertificateRequest): Promise<boolean> {
  try {
    return await csr.verify();
  } catch {
    return false;
  }
}

function refuseCsr(csr: X509.Pkcs10CertificateRequest, node: string): CsrRefusal | undefined {
  try {
    return refuseKey(csr) ?? refuseNames(csr, node);
  } catch {
    return { reason: 'CsrMalformed', message: 'the certificate request cannot be read' };
  }
}

function refuseKey({ publicKey }: X509.Pkcs10CertificateRequest): CsrRefusal | undefined {
  const { name, namedCurve } = publicKey.algorithm as { readonly name: string; readonly namedCurve?: string };
  if (name === 'Ed25519' || (name === 'ECDSA' && namedCurve === 'P-256')) return undefined;
  return { reason: 'CsrKeyUnsuitable', message: 'the key must be Ed25519 or ECDSA on P-256' };
}

function refuseNames(csr: X509.Pkcs10CertificateRequest, node: string): CsrRefusal | undefined {
  if (csr.extensions.some(({ type }) => type !== SUBJECT_ALTERNATIVE_NAME)) {
    return { reason: 'CsrAsksForMore', message: 'the request may ask for a name, not for other extensions' };
  }
  const subject = csr.subjectName
    .toJSON()
    .flatMap((part) => Object.entries(part).map(([type, v]) => `${type}=${v.join()}`));
  const alternatives = csr.extensions.flatMap((extension) =>
    new x509.SubjectAlternativeNameExtension(extension.rawData).names
      .toJSON()
      .map(({ type, value }) => `${type}=${value}`),
  );
  const right = subject.join() === `CN=${node}` && alternatives.every((name) => name === `dns=${node}`);
  return right
    ? undefined
    : { reason: 'CsrNameWrong', message: `the request must carry the name ${node} and no other` };
}

/** Positive, and 127 bits that nobody can guess. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}
