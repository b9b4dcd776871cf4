import { webcrypto } from 'node:crypto';
import type { Authority } from '../../src/operator/pki/authority.ts';
import '../../src/operator/pki/certificate.ts'; // Makes the next one loadable.

const x509 = await import('@peculiar/x509');

/** A request for the certificate of a server, and its key. */
export async function certificateRequest(name: string): Promise<{ readonly csrPem: string; readonly keyPem: string }> {
  const keys = (await webcrypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [name] }],
    keys,
    signingAlgorithm: { name: 'Ed25519' },
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: name }])],
  });
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return { csrPem: csr.toString('pem'), keyPem: `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n` };
}

/** What a server of that name needs to be believed by whoever trusts the authority. */
export async function serverTls(authority: Authority, name: string) {
  const { csrPem, keyPem } = await certificateRequest(name);
  const signed = await authority.signServer(csrPem, name);
  if (!signed.ok) throw new Error(signed.error.message);
  return { keyPem, certificatePem: signed.value };
}
