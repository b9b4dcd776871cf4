import type { VGPUClaim } from '../../api/kinds.ts';
import { bytesOf } from '../../api/quantity.ts';
import { DEFAULT_TICKET_SECONDS, ed25519KeySchema, MAX_TICKET_SECONDS, type TicketPayload } from '../../api/ticket.ts';
import { MAX_SESSIONS } from '../../api/vgpu-claim.ts';
import type { Clock } from '../../lib/clock.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import type { Key } from '../../runtime/store.ts';
import type { TicketLedger } from '../ports.ts';
import type { ClaimRefusal } from './claim-gate.ts';
import { signTicket, verifyTicket, type JwsRefusal, type SigningKey, type VerifyingKey } from './jws.ts';

export interface IssuerOptions {
  /** Who signs: the id of the pool's CA. */
  readonly issuer: string;
  readonly key: SigningKey;
  /** All keys whose tickets are still accepted for renewal. */
  readonly acceptedKeys: readonly VerifyingKey[];
  readonly epoch: number;
  readonly ledger: TicketLedger;
  readonly clock: Pick<Clock, 'now'>;
  readonly claimForTicket: (claim: Key & { readonly uid?: string }) => Result<VGPUClaim, ClaimRefusal>;
  /** A random text that no other ticket has. */
  readonly newId: () => string;
  /** How many sessions a claim may have at once. @default 64 */
  readonly maxSessions?: number;
}

export interface TicketWish {
  /** `uid` guards against another claim of the same name. */
  readonly claim: Key & { readonly uid?: string };
  /** Binds the ticket to this key; without it the first who presents it binds it. base64url of an Ed25519 key. */
  readonly holderKey?: string | undefined;
  /** Where the holder's programs run; without it they may run anywhere. */
  readonly node?: string | undefined;
  /** @default 600 */
  readonly lifetimeSeconds?: number | undefined;
}

export type TicketRefusal =
  | JwsRefusal
  | ClaimRefusal
  | {
      readonly reason:
        'ClaimIsLocal' | 'HolderKeyInvalid' | 'LifetimeInvalid' | 'TicketStolen' | 'TicketExchanged' | 'EpochTooNew';
      readonly message: string;
    };

export interface TicketIssuer {
  /** A ticket for a claim that has its vGPUs. */
  sign(wish: TicketWish): Result<Ticket, TicketRefusal>;
  /**
   * A fresh ticket for an older one that is still valid, as long as the claim has its vGPUs; what it promises is what
   * the claim has now. An unbound ticket is exchanged: once, for the key that presents it first.
   */
  renew(ticket: string, holderKey: string): Promise<Result<Ticket, TicketRefusal>>;
}

export interface Ticket {
  readonly text: string;
  readonly payload: TicketPayload;
  readonly claim: VGPUClaim;
}

export function ticketIssuer(options: IssuerOptions): TicketIssuer {
  const { clock, acceptedKeys, claimForTicket, ledger, epoch } = options;
  const nowSeconds = (): number => Math.floor(clock.now().getTime() / 1000);

  return {
    sign({ claim, holderKey, node, lifetimeSeconds = DEFAULT_TICKET_SECONDS }) {
      const wrong = wrongHolder(holderKey) ?? wrongLifetime(lifetimeSeconds);
      if (wrong !== undefined) return err(wrong);
      const found = claimForTicket(claim);
      if (!found.ok) return found;
      const elsewhere = refuseElsewhere(found.value, node);
      if (elsewhere !== undefined) return err(elsewhere);
      return ok(issue(options, found.value, { holderKey, iat: nowSeconds(), lifetimeSeconds }));
    },

    async renew(text, holderKey) {
      const wrong = wrongHolder(holderKey);
      if (wrong !== undefined) return err(wrong);
      const verified = verifyTicket(text, acceptedKeys, nowSeconds());
      if (!verified.ok) return verified;
      const old = verified.value;
      const refusal = refuseHolder(old, holderKey) ?? refuseEpoch(old, epoch);
      if (refusal !== undefined) return err(refusal);
      const found = claimForTicket(old.claim);
      if (!found.ok) return found;
      // Last of all: a ticket that is refused for another reason is not used up.
      if (old.cnf === undefined && (await ledger.claim(old.jti, holderKey, old.exp)) === 'other') return err(EXCHANGED);
      const lifetimeSeconds = Math.min(old.exp - old.iat, DEFAULT_TICKET_SECONDS);
      return ok(issue(options, found.value, { holderKey, iat: nowSeconds(), lifetimeSeconds }));
    },
  };
}

const EXCHANGED: TicketRefusal = {
  reason: 'TicketExchanged',
  message: 'the ticket was exchanged by another key already: ask for a new one, and find out who had this one',
};

interface Terms {
  readonly holderKey: string | undefined;
  readonly iat: number;
  readonly lifetimeSeconds: number;
}

function issue(options: IssuerOptions, claim: VGPUClaim, { holderKey, iat, lifetimeSeconds }: Terms): Ticket {
  const { issuer, key, epoch, newId, maxSessions = MAX_SESSIONS } = options;
  const { namespace = '', name, uid } = claim.metadata;
  const payload: TicketPayload = {
    iss: issuer,
    jti: newId(),
    iat,
    nbf: iat,
    exp: iat + lifetimeSeconds,
    epoch,
    claim: { namespace, name, uid },
    vgpus: (claim.status?.allocations ?? []).map(({ vgpu, gpu, memory, compute }) => ({
      index: vgpu,
      gpu,
      memoryBytes: bytesOf(memory),
      computePercent: compute,
    })),
    maxSessions: Math.min(maxSessions, claim.spec.nested?.maxSessions ?? maxSessions),
    ...graceOf(claim),
    ...division(claim),
    ...(holderKey === undefined ? {} : { cnf: { jwk: { kty: 'OKP', crv: 'Ed25519', x: holderKey } } }),
  };
  return { text: signTicket(payload, key), payload, claim };
}

const graceOf = ({ spec: { gracePeriodSeconds } }: VGPUClaim): Pick<TicketPayload, 'gracePeriodSeconds'> =>
  gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds };

function division({ spec: { nested } }: VGPUClaim): Pick<TicketPayload, 'nested'> {
  if (nested === undefined) return {};
  const { shares, defaultShare, oversubscribe } = nested;
  return {
    nested: {
      shares: shares.map(({ name, memory, compute, maxSessions }) => ({
        name,
        memoryBytes: bytesOf(memory),
        computePercent: compute,
        maxSessions,
      })),
      ...(defaultShare === undefined ? {} : { defaultShare }),
      oversubscribe,
    },
  };
}

/** All vGPUs of a claim are on one node. */
function refuseElsewhere({ metadata, spec, status }: VGPUClaim, node: string | undefined): TicketRefusal | undefined {
  const own = status?.allocations?.[0]?.node;
  if (spec.access !== 'Local' || (node !== undefined && node === own)) return undefined;
  const message = `claim ${metadata.name} has access Local: only programs on ${own} use it`;
  return { reason: 'ClaimIsLocal', message: node === undefined ? message : `${message}, not those on ${node}` };
}

function wrongHolder(holderKey: string | undefined): TicketRefusal | undefined {
  if (holderKey === undefined) return undefined;
  const parsed = ed25519KeySchema.safeParse(holderKey);
  const message = parsed.error?.issues[0]?.message;
  return message === undefined ? undefined : { reason: 'HolderKeyInvalid', message: `the holder's key ${message}` };
}

function wrongLifetime(seconds: number): TicketRefusal | undefined {
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= MAX_TICKET_SECONDS) return undefined;
  return { reason: 'LifetimeInvalid', message: 'a ticket may be valid for one second to 24 hours' };
}

function refuseHolder({ cnf }: TicketPayload, holderKey: string): TicketRefusal | undefined {
  if (cnf === undefined || cnf.jwk.x === holderKey) return undefined;
  return { reason: 'TicketStolen', message: 'the ticket is bound to another key' };
}

/** A newer epoch than ours: another operator has taken over, or our state was put back to an older copy. */
function refuseEpoch({ epoch }: TicketPayload, own: number): TicketRefusal | undefined {
  if (epoch <= own) return undefined;
  return { reason: 'EpochTooNew', message: `the ticket is of epoch ${epoch}, this operator is at ${own}` };
}
