import { formatBytes } from '../api/quantity.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { explainShareRefusal, shareFor, type AdmittedContainer, type ContainerReference } from './container-share.ts';
import type { Division, ShareRefusal } from './container-share.ts';
import type { Gpu } from './gpu.ts';
import type { ClaimReference, Session, VgpuShare } from './session-registry.ts';

/** What a ticket promises. The gateway has checked its signature, its times and its holder. */
export interface TicketPayload {
  readonly claim: ClaimReference;
  readonly vgpus: readonly VgpuShare[];
  readonly maxSessions: number;
  readonly nested?: Division | undefined;
}

/** All that a decision depends on. */
export interface AdmissionInput {
  readonly ticket: TicketPayload;
  /** Whether the claim exists, has its vGPUs and is not being deleted. */
  readonly claimIsBound: boolean;
  readonly gpus: readonly Gpu[];
  /** The nested container that the program is in, and the share that it asks for. */
  readonly container?: (ContainerReference & { readonly wanted?: string | undefined }) | undefined;
  /** Sessions that live on this node, of all claims. */
  readonly sessions: readonly Session[];
}

export interface Admission {
  readonly vgpus: readonly VgpuShare[];
  readonly container?: AdmittedContainer;
}

export type AdmissionRefusal =
  | { readonly reason: ShareRefusal['reason']; readonly share: ShareRefusal }
  | { readonly reason: 'ClaimNotBound'; readonly claim: string }
  | { readonly reason: 'SessionsExhausted'; readonly claim: string; readonly maxSessions: number }
  | { readonly reason: 'GPUNotHere'; readonly gpu: string }
  | { readonly reason: 'GPUUnhealthy'; readonly gpu: string; readonly why: string }
  | {
      readonly reason: 'GPUOvercommitted';
      readonly gpu: string;
      readonly memoryBytes: number;
      readonly otherBytes: number;
      readonly wantedBytes: number;
    };

/**
 * The last gate: a session gets what its ticket promises if the GPUs are here and have it physically, whatever the
 * operator believes. Memory counts once per claim, since the sessions of a claim share its limit.
 */
export function admit(input: AdmissionInput): Result<Admission, AdmissionRefusal> {
  const { ticket, sessions } = input;
  const claim = `${ticket.claim.namespace}/${ticket.claim.name}`;
  if (!input.claimIsBound) return err({ reason: 'ClaimNotBound', claim });

  const own = sessions.filter((session) => session.claim.uid === ticket.claim.uid);
  const { maxSessions } = ticket;
  if (own.length >= maxSessions) return err({ reason: 'SessionsExhausted', claim, maxSessions });

  for (const gpu of new Set(ticket.vgpus.map((vgpu) => vgpu.gpu))) {
    const refusal = refuseGpu(gpu, input);
    if (refusal !== undefined) return err(refusal);
  }
  const { vgpus } = ticket;
  if (input.container === undefined) return ok({ vgpus });
  const container = containerOf(input.container, own, ticket);
  return container.ok ? ok({ vgpus, container: container.value }) : container;
}

function containerOf(
  { wanted, ...container }: NonNullable<AdmissionInput['container']>,
  own: readonly Session[],
  { vgpus, maxSessions, nested }: TicketPayload,
): Result<AdmittedContainer, AdmissionRefusal> {
  const claim = {
    memoryBytes: Math.min(...vgpus.map((vgpu) => vgpu.memoryBytes)),
    computePercent: Math.min(...vgpus.map((vgpu) => vgpu.computePercent)),
    maxSessions,
  };
  const living = own.flatMap((session) => session.container ?? []);
  const found = shareFor({ container, wanted, division: nested, claim, living });
  return found.ok ? found : err({ reason: found.error.reason, share: found.error });
}

function refuseGpu(uuid: string, { ticket, gpus, sessions }: AdmissionInput): AdmissionRefusal | undefined {
  const gpu = gpus.find((candidate) => candidate.uuid === uuid);
  if (gpu === undefined) return { reason: 'GPUNotHere', gpu: uuid };
  if (!gpu.healthy) return { reason: 'GPUUnhealthy', gpu: uuid, why: gpu.reason ?? 'no reason is known' };

  const others = new Map(sessions.filter((s) => s.claim.uid !== ticket.claim.uid).map((s) => [s.claim.uid, s.vgpus]));
  const otherBytes = [...others.values()].reduce((sum, vgpus) => sum + bytesOn(uuid, vgpus), 0);
  const wantedBytes = bytesOn(uuid, ticket.vgpus);
  const { memoryBytes } = gpu;
  return otherBytes + wantedBytes > memoryBytes
    ? { reason: 'GPUOvercommitted', gpu: uuid, memoryBytes, otherBytes, wantedBytes }
    : undefined;
}

const bytesOn = (gpu: string, vgpus: readonly VgpuShare[]): number =>
  vgpus.filter((vgpu) => vgpu.gpu === gpu).reduce((sum, vgpu) => sum + vgpu.memoryBytes, 0);

/** The refusal as a sentence for the user of the program. */
export function explainRefusal(refusal: AdmissionRefusal): string {
  if ('share' in refusal) return explainShareRefusal(refusal.share);
  switch (refusal.reason) {
    case 'ClaimNotBound':
      return `claim ${refusal.claim} has no vGPU: it is pending, being deleted or gone`;
    case 'SessionsExhausted':
      return `claim ${refusal.claim} has its ${refusal.maxSessions} sessions already: end a program first`;
    case 'GPUNotHere':
      return `${refusal.gpu} is not on this node`;
    case 'GPUUnhealthy':
      return `${refusal.gpu} is not healthy: ${refusal.why}`;
    case 'GPUOvercommitted': {
      const [memory, others, wanted] = [refusal.memoryBytes, refusal.otherBytes, refusal.wantedBytes].map(formatBytes);
      return `${refusal.gpu} has ${memory}; programs of other claims may use ${others} of it, and the ticket says ${wanted}`;
    }
  }
}
