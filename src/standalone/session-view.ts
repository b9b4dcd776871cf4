import type { SessionView } from '../api/session-view.ts';
import type { AdmittedContainer } from '../backend/container-share.ts';
import type { Session } from '../backend/session-registry.ts';
import type { SessionUsage, UsageSample } from '../backend/usage.ts';

/** Sessions with what they use, oldest first. */
export function sessionViews(sessions: readonly Session[], usage: UsageSample): readonly SessionView[] {
  return sessions
    .toSorted((a, b) => a.startedAt.getTime() - b.startedAt.getTime() || a.session.localeCompare(b.session))
    .map((session) => viewOf(session, usage));
}

function viewOf(
  { session, claim, program, channel, peer, client, startedAt, vgpus, container }: Session,
  usage: UsageSample,
): SessionView {
  const own = usage.sessions.filter((of) => of.session === session);
  return {
    session,
    namespace: claim.namespace,
    claim: claim.name,
    ...(program.pid === undefined ? {} : { pid: program.pid }),
    ...(program.name === undefined ? {} : { program: program.name }),
    ...(container === undefined ? {} : { container: { id: container.id, ...shareName(container) } }),
    channel,
    ...(peer === '' ? {} : { peer }),
    state: client?.connected === false ? 'Disconnected' : 'Connected',
    resumes: client?.resumes ?? 0,
    startedAt: startedAt.toISOString(),
    vgpus: vgpus.map((vgpu) => {
      const { memoryBytes, computePercent } = container?.share ?? vgpu;
      const used = own.find((of) => of.gpu === vgpu.gpu);
      return { gpu: vgpu.gpu, memoryLimitBytes: memoryBytes, computePercent, ...usedOf(used) };
    }),
  };
}

const shareName = ({ share }: AdmittedContainer): { readonly share?: string } =>
  share === undefined ? {} : { share: share.name };

const usedOf = (used: SessionUsage | undefined) => ({
  memoryBytes: used?.memoryBytes ?? 0,
  utilizationPercent: used?.utilizationPercent ?? 0,
  busyNs: String(used?.busyNs ?? 0n),
});
