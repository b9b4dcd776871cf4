import { createHash } from 'node:crypto';
import { formatBytes } from '../api/quantity.ts';
import { err, ok, type Result } from '../lib/result.ts';

/** What a claim promises to each nested container that asks for it, as its ticket has it. */
export interface Share {
  readonly name: string;
  /** Of each vGPU. */
  readonly memoryBytes: number;
  readonly computePercent: number;
  readonly maxSessions: number;
}

/** How the claim of a ticket is divided. */
export interface Division {
  readonly shares: readonly Share[];
  readonly defaultShare?: string | undefined;
  readonly oversubscribe: boolean;
}

/** A nested container, as the connector of its guest tells it. */
export interface ContainerReference {
  /** Tells it from the other containers of the claim. */
  readonly key: string;
  /** Its name for people. */
  readonly id: string;
}

/** A container with what it was promised; no share where the claim is not divided. */
export interface AdmittedContainer extends ContainerReference {
  readonly share?: Share | undefined;
}

export type ShareRefusal =
  | { readonly reason: 'ShareUnknown'; readonly share: string; readonly known: readonly string[] }
  | { readonly reason: 'ShareRequired'; readonly known: readonly string[] }
  | { readonly reason: 'ShareConflict'; readonly share: string; readonly has: string }
  | { readonly reason: 'ContainerSessionsExhausted'; readonly maxSessions: number }
  | { readonly reason: 'SharesExhausted'; readonly share: string; readonly what: string; readonly others: string };

/** A container as its connector names it. Its key is one of the holder's: another guest cannot name it. */
export function identified(
  { id, share }: { readonly id: string; readonly share?: string | null | undefined },
  holder: string,
): ContainerReference & { readonly wanted: string | undefined } {
  const key = createHash('sha256').update(`${holder}\0${id}`).digest('hex').slice(0, 16);
  return { key, id, wanted: share ?? undefined };
}

export interface ShareInput {
  readonly container: ContainerReference;
  /** The share that it asks for. */
  readonly wanted: string | undefined;
  readonly division: Division | undefined;
  /** What the claim itself has. */
  readonly claim: Omit<Share, 'name'>;
  /** The containers of the claim's sessions that live, one entry a session. */
  readonly living: readonly AdmittedContainer[];
}

/** The share that is meant by what a container asks for; none where the claim is not divided. */
export function namedShare(
  wanted: string | undefined,
  division: Division | undefined,
): Result<Share | undefined, ShareRefusal> {
  const known = (division?.shares ?? []).map(({ name }) => name);
  const name = wanted ?? division?.defaultShare;
  if (name === undefined) return known.length === 0 ? ok(undefined) : err({ reason: 'ShareRequired', known });
  const share = division?.shares.find((candidate) => candidate.name === name);
  return share === undefined ? err({ reason: 'ShareUnknown', share: name, known }) : ok(share);
}

/**
 * The share that a container gets. Unless the claim may be oversubscribed, what its containers were promised is never more
 * than the claim has: each can use its own whatever the others do.
 */
export function shareFor(input: ShareInput): Result<AdmittedContainer, ShareRefusal> {
  const { container, wanted, division, living } = input;
  const named = namedShare(wanted, division);
  if (!named.ok) return named;
  const share = named.value;
  if (share === undefined) return ok(container);

  const own = living.filter(({ key }) => key === container.key);
  const refusal = own.length > 0 ? refuseNext(share, own) : refuseFirst(share, input);
  return refusal === undefined ? ok({ ...container, share }) : err(refusal);
}

function refuseNext(share: Share, own: readonly AdmittedContainer[]): ShareRefusal | undefined {
  const has = own.find((session) => session.share !== undefined)?.share?.name;
  if (has !== undefined && has !== share.name) return { reason: 'ShareConflict', share: share.name, has };
  const { maxSessions } = share;
  return own.length >= maxSessions ? { reason: 'ContainerSessionsExhausted', maxSessions } : undefined;
}

const SUMMED = [
  ['memoryBytes', formatBytes],
  ['computePercent', (percent: number) => `${percent} %`],
  ['maxSessions', (count: number) => `${count} sessions`],
] as const;

function refuseFirst(share: Share, { claim, division, living }: ShareInput): ShareRefusal | undefined {
  if (division?.oversubscribe === true) return undefined;
  const others = [...new Map(living.map(({ key, share: held }) => [key, held])).values()];
  for (const [field, text] of SUMMED) {
    const promised = others.reduce((sum, held) => sum + (held?.[field] ?? 0), 0);
    // A share that says more than there can be, in sessions, means as many as there can be.
    if (promised + Math.min(share[field], claim[field]) <= claim[field]) continue;
    return { reason: 'SharesExhausted', share: share.name, what: text(claim[field]), others: text(promised) };
  }
  return undefined;
}

/** The refusal as a sentence for the user of the container. */
export function explainShareRefusal(refusal: ShareRefusal): string {
  switch (refusal.reason) {
    case 'ShareUnknown':
      return `the claim has no share ${JSON.stringify(refusal.share)}; ${known(refusal.known)}`;
    case 'ShareRequired':
      return `the claim has no default share, and the container names none; ${known(refusal.known)}`;
    case 'ShareConflict':
      return `the container has the share ${refusal.has} and cannot have ${refusal.share} as well`;
    case 'ContainerSessionsExhausted':
      return `the container has its ${refusal.maxSessions} sessions already: end a program first`;
    case 'SharesExhausted': {
      const { share, others, what } = refusal;
      return `there is no room for the share ${share}: other containers were promised ${others} of the claim's ${what}`;
    }
  }
}

const known = (names: readonly string[]): string =>
  names.length === 0 ? 'it is not divided' : `its shares are ${names.join(', ')}`;
