import type { SessionView } from '../api/session-view.ts';
import type { Session } from '../backend/session-registry.ts';
import type { UsageSample } from '../backend/usage.ts';

/** Sessions with what they use, oldest first. */
export function sessionViews(sessions: readonly Session[], usage: UsageSample): readonly SessionView[] {
  return sessions
    .toSorted((a, b) => a.startedAt.getTime() - b.startedAt.getTime() || a.session.localeCompare(b.session))
    .map((session) => viewOf(session, usage));
}

function viewOf(
  { session, claim, program, channel, peer, startedAt, vgpus }: Session,
  usage: UsageSample,
): SessionView {
  const own = usage.sessions.filter((of) => of.session === session);
  return {
    session,
    namespace: claim.namespace,
    claim: claim.name,
    ...(program.pid === undefined ? {} : { pid: program.pid }),
    ...(program.name === undefined ? {} : { program: program.name }),
    channel,
    ...(peer === '' ? {} : { peer }),
    startedAt: startedAt.toISOString(),
    vgpus: vgpus.map(({ gpu, memoryBytes, computePercent }) => {
      const used = own.find((of) => of.gpu === gpu);
      return {
        gpu,
        memoryBytes: used?.memoryBytes ?? 0,
        memoryLimitBytes: memoryBytes,
        computePercent,
        utilizationPercent: used?.utilizationPercent ?? 0,
        busyNs: String(used?.busyNs ?? 0n),
      };
    }),
  };
}
