import type { Authority } from './authority.ts';
import { certificateRequest } from './certificate.ts';

/** The name in the certificate of every replica of the operator; no node may enrol under it. */
export const OPERATOR_NAME = 'aquifer-operator';

export interface ServerIdentity {
  readonly keyPem: string;
  readonly certificatePem: string;
}

/** A key and a certificate of ninety days, by which whoever trusts the authority knows a server of that name. */
export async function serverIdentity(authority: Pick<Authority, 'signServer'>, name: string): Promise<ServerIdentity> {
  const { csrPem, keyPem } = await certificateRequest(name);
  const signed = await authority.signServer(csrPem, name);
  if (!signed.ok) throw new Error(signed.error.message);
  return { keyPem, certificatePem: signed.value };
}
