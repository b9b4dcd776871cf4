import type { z } from 'zod';
import { Refused, type JsonObject } from '../ipc/json-lines.ts';
import { explainShareRefusal, identified, namedShare } from './container-share.ts';
import type { requests } from './gateway-messages.ts';
import type { Gpu } from './gpu.ts';
import type { SessionRegistry, VgpuShare } from './session-registry.ts';
import { claimUsage, type UsageSample } from './usage.ts';

export interface InspectionDeps {
  readonly gpus: () => readonly Gpu[];
  readonly usage: () => UsageSample;
  readonly registry: SessionRegistry;
}

/** What the claim has and uses; of a nested container what that has and uses, and nothing of others. */
export function inspectClaim(
  { gpus, usage, registry }: InspectionDeps,
  { ticket, holder, container }: z.infer<typeof requests.inspect>,
): JsonObject[] {
  const { uid } = ticket.claim;
  const sample = usage();
  if (container == null) {
    return ticket.vgpus.map((vgpu) => inspected(gpus(), vgpu, claimUsage(sample, uid, vgpu.gpu)));
  }
  const { key, wanted } = identified(container, holder);
  const share = namedShare(wanted, ticket.nested);
  if (!share.ok) throw new Refused(share.error.reason, explainShareRefusal(share.error));
  const own = new Set(registry.ofClaim(uid).flatMap((one) => (one.container?.key === key ? [one.session] : [])));
  const seen = { ...sample, sessions: sample.sessions.filter(({ session }) => own.has(session)) };
  return ticket.vgpus.map((vgpu) => {
    const { memoryBytes, computePercent } = share.value ?? vgpu;
    return inspected(gpus(), { ...vgpu, memoryBytes, computePercent }, claimUsage(seen, uid, vgpu.gpu));
  });
}

function inspected(
  gpus: readonly Gpu[],
  vgpu: VgpuShare,
  { usedBytes, utilizationPercent }: ReturnType<typeof claimUsage>,
): JsonObject {
  const gpu = gpus.find(({ uuid }) => uuid === vgpu.gpu);
  if (gpu === undefined) throw new Refused('GPUNotHere', `${vgpu.gpu} is not on this node`);
  const { model, computeCapability, driverVersion } = gpu;
  const { memoryBytes, computePercent } = vgpu;
  return {
    uuid: gpu.uuid,
    name: model,
    memoryBytes,
    usedBytes,
    computePercent,
    utilizationPercent: Math.round(utilizationPercent),
    computeCapability,
    driverVersion: driverVersion ?? '',
  };
}
