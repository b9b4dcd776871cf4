import { err, ok } from '../../lib/result.ts';
import type { LeaseStore } from '../../runtime/leadership.ts';
import type { Authority } from '../pki/authority.ts';
import { OPERATOR_NAME } from '../pki/server-identity.ts';
import type { Enrolments } from './ports.ts';

/** Any replica vouches for gateways; the epoch that they are to keep to is that of the Lease. */
export function enrolments(authority: Authority, lease: Pick<LeaseStore, 'read'>): Enrolments {
  const { caPem, ticketKeys } = authority;
  return {
    caPem,
    async enrol(csrPem, node) {
      if (node === OPERATOR_NAME) {
        return err({ reason: 'CsrNameWrong', message: `no gateway may have the name of the operator, ${node}` });
      }
      const signed = await authority.signServer(csrPem, node);
      if (!signed.ok) return signed;
      return ok({ certificatePem: signed.value, ticketKeys, epoch: (await lease.read())?.record.epoch ?? 0 });
    },
  };
}
