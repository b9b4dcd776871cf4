import type { z } from 'zod';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { Refused, type JsonObject } from '../ipc/json-lines.ts';
import { admit, explainRefusal } from './admission.ts';
import { requests, type Admit, type Operation, type ReportedSession } from './gateway-messages.ts';
import type { Gpu } from './gpu.ts';
import type { LedgerOf } from './ledger-directory.ts';
import type { Authority, WorkerPaths } from './ports.ts';
import type { Session, SessionRegistry } from './session-registry.ts';
import { claimUsage, type UsageSample } from './usage.ts';

export interface GatewayServiceDeps {
  readonly authority: Authority;
  readonly clock: Clock;
  readonly gpus: () => readonly Gpu[];
  readonly usage: () => UsageSample;
  readonly ledgers: () => readonly LedgerOf[];
  readonly registry: SessionRegistry;
  readonly workers: WorkerPaths;
  /** Claims whose sessions are being closed for good. */
  readonly isRevoked: (claimUid: string) => boolean;
  readonly log: Log;
}

type Answer<Request> = (request: Request, reported: () => void) => Promise<JsonObject>;

/** Answers what the gateway asks, once it has greeted; calls `reported` when it has told which sessions live. */
export function gatewayService(
  deps: GatewayServiceDeps,
): (op: string, fields: JsonObject, reported: () => void) => Promise<JsonObject> {
  const { authority, registry, log } = deps;
  const answers: { readonly [K in Operation]: Answer<z.infer<(typeof requests)[K]>> } = {
    enrol: async ({ csrPem }) => ({ ...(await authority.enrol(csrPem)) }),
    admit: (request) => admitSession(deps, request),
    renew: async ({ ticket, holderKey }) => ({ ticket: await authority.renew(ticket, holderKey) }),
    inspect: async ({ ticket }) => ({ vgpus: ticket.vgpus.map((vgpu) => inspected(deps, ticket.claim.uid, vgpu)) }),
    moved: async ({ session, peer }) => {
      registry.moved(session, peer.kind, peer.address ?? '');
      log.info('session moved', { session, channel: peer.kind });
      return {};
    },
    sessionEnded: async ({ session, reason }) => {
      const why = reason ?? 'Unknown';
      const ended = registry.remove(session, why);
      if (ended !== undefined) log.info('session ended', { session, object: nameOf(ended), reason: why });
      return {};
    },
    sessions: async ({ sessions }, reported) => {
      takeOver(deps, sessions);
      reported();
      return {};
    },
  };

  return async (op, fields, reported) => {
    if (!Object.hasOwn(answers, op)) throw new Refused('UnknownOperation', `there is no operation ${op}`);
    const known = op as Operation;
    const parsed = requests[known].safeParse(fields);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw new Refused('BadRequest', `${op}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`);
    }
    return (answers[known] as Answer<unknown>)(parsed.data, reported);
  };
}

async function admitSession(deps: GatewayServiceDeps, request: Admit): Promise<JsonObject> {
  const { authority, registry, workers, clock, log } = deps;
  const { session, ticket, peer, program } = request;
  const bound = await authority.isBound(ticket.claim);
  // No await from here to add(): that is what makes counting and adding one step.
  const claimIsBound = bound && !deps.isRevoked(ticket.claim.uid);
  const decision = admit({ ticket, claimIsBound, gpus: deps.gpus(), sessions: registry.list() });
  if (!decision.ok) {
    log.info('session refused', { session, object: nameOf(ticket), reason: decision.error.reason });
    throw new Refused(decision.error.reason, explainRefusal(decision.error));
  }
  registry.add({
    session,
    claim: ticket.claim,
    vgpus: decision.value,
    startedAt: clock.now(),
    channel: peer.kind,
    peer: peer.address ?? '',
    program: programOf(program),
  });
  log.info('session admitted', { session, object: nameOf(ticket) });
  const { ledgers: ledgerDir, turns: turnsDir, driver, environment } = workers;
  return { worker: { vgpus: decision.value, ledgerDir, turnsDir, driver, environment } };
}

const programOf = (program: Admit['program']): Session['program'] => ({
  ...(program?.pid == null ? {} : { pid: program.pid }),
  ...(program?.name == null ? {} : { name: program.name }),
});

const nameOf = ({ claim }: { readonly claim: Session['claim'] }): string => `${claim.namespace}/${claim.name}`;

function inspected(deps: GatewayServiceDeps, claimUid: string, vgpu: Session['vgpus'][number]): JsonObject {
  const gpu = deps.gpus().find(({ uuid }) => uuid === vgpu.gpu);
  if (gpu === undefined) throw new Refused('GPUNotHere', `${vgpu.gpu} is not on this node`);
  const { model, computeCapability, driverVersion } = gpu;
  const { memoryBytes, computePercent } = vgpu;
  const { usedBytes, utilizationPercent } = claimUsage(deps.usage(), claimUid, gpu.uuid);
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

/** Takes the sessions that the gateway says live for the truth: after a restart of ours they are all that is known. */
function takeOver(deps: GatewayServiceDeps, reported: readonly ReportedSession[]): void {
  const byId = new Map(reported.map((session) => [session.session, session]));
  const ledgers = deps.ledgers();
  deps.registry.replace(new Set(byId.keys()), (id) => {
    const session = byId.get(id);
    return session === undefined ? undefined : rebuilt(session, ledgers);
  });
}

/** What the claim may use stands in its accounts, one for each GPU. */
function rebuilt(session: ReportedSession, ledgers: readonly LedgerOf[]): Session {
  const { claim } = session;
  const own = ledgers.filter(({ claimUid }) => claimUid === claim.uid);
  return {
    session: session.session,
    claim,
    vgpus: own.map(({ gpu, ledger }, index) => ({
      index,
      gpu,
      memoryBytes: ledger.limitBytes,
      computePercent: ledger.computePercent,
    })),
    startedAt: new Date(session.startedAt * 1000),
    channel: session.channel,
    peer: '',
    program: programOf(session.program),
  };
}
