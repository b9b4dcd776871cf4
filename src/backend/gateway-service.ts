import type { z } from 'zod';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { Refused, type JsonObject } from '../ipc/json-lines.ts';
import { admit, explainRefusal } from './admission.ts';
import { identified, type AdmittedContainer } from './container-share.ts';
import { requests, type Admit, type Operation, type ReportedSession } from './gateway-messages.ts';
import type { Gpu } from './gpu.ts';
import type { LedgerOf } from './ledger-directory.ts';
import type { Authority, WorkerPaths } from './ports.ts';
import type { ResumeAccount } from './resumes.ts';
import type { Session, SessionRegistry } from './session-registry.ts';
import { inspectClaim } from './inspection.ts';
import type { UsageSample } from './usage.ts';

export interface GatewayServiceDeps {
  readonly authority: Authority;
  readonly clock: Clock;
  readonly gpus: () => readonly Gpu[];
  readonly usage: () => UsageSample;
  readonly ledgers: () => readonly LedgerOf[];
  readonly registry: SessionRegistry;
  readonly resumes: Pick<ResumeAccount, 'add'>;
  /** Removes the accounts of a container that has no session any more. */
  readonly forgetAccounts: (claimUid: string, containerKey: string) => void;
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
    obtain: async ({ from, holderKey }) => ({ ticketFile: { ...(await authority.obtain(from, holderKey)) } }),
    inspect: async (request) => ({ vgpus: inspectClaim(deps, request) }),
    moved: async ({ session, peer }) => {
      registry.moved(session, peer.kind, peer.address ?? '');
      log.info('session moved', { session, channel: peer.kind });
      return {};
    },
    client: async ({ session, client }) => {
      registry.clientIs(session, client);
      log.info(client.connected ? 'session resumed' : 'session waits for its client', { session });
      return {};
    },
    resumes: async (counts) => {
      deps.resumes.add(counts);
      return {};
    },
    sessionEnded: async ({ session, reason }) => {
      const why = reason ?? 'Unknown';
      const ended = registry.remove(session, why);
      if (ended !== undefined) {
        log.info('session ended', { session, object: nameOf(ended), reason: why });
        forgetContainer(deps, ended);
      }
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
  const { session, ticket, peer, program, holder } = request;
  const bound = await authority.isBound(ticket.claim);
  // No await from here to add(): that is what makes counting and adding one step.
  const claimIsBound = bound && !deps.isRevoked(ticket.claim.uid);
  const container = request.container == null ? undefined : identified(request.container, holder);
  const decision = admit({ ticket, claimIsBound, container, gpus: deps.gpus(), sessions: registry.list() });
  if (!decision.ok) {
    log.info('session refused', { session, object: nameOf(ticket), reason: decision.error.reason });
    throw new Refused(decision.error.reason, explainRefusal(decision.error));
  }
  const admitted = decision.value;
  registry.add({
    session,
    claim: ticket.claim,
    ...admitted,
    startedAt: clock.now(),
    channel: peer.kind,
    peer: peer.address ?? '',
    program: programOf(program),
  });
  log.info('session admitted', { session, object: nameOf(ticket) });
  const { ledgers: ledgerDir, turns: turnsDir, driver, environment } = workers;
  const { vgpus } = admitted;
  const grace = ticket.gracePeriodSeconds === undefined ? {} : { graceSeconds: ticket.gracePeriodSeconds };
  const worker = { vgpus, ...grace, ...workerShare(admitted.container), ledgerDir, turnsDir, driver, environment };
  return { worker, ...(admitted.container === undefined ? {} : { container: admitted.container }) };
}

function workerShare(container: AdmittedContainer | undefined): JsonObject {
  if (container?.share === undefined) return {};
  const { memoryBytes, computePercent } = container.share;
  return { container: { key: container.key, memoryBytes, computePercent } };
}

/** The accounts of a container go with its last session. */
function forgetContainer({ registry, forgetAccounts }: GatewayServiceDeps, { claim, container }: Session): void {
  if (container === undefined) return;
  const others = registry.ofClaim(claim.uid).filter((session) => session.container?.key === container.key);
  if (others.length === 0) forgetAccounts(claim.uid, container.key);
}

const programOf = (program: Admit['program']): Session['program'] => ({
  ...(program?.pid == null ? {} : { pid: program.pid }),
  ...(program?.name == null ? {} : { name: program.name }),
});

const nameOf = ({ claim }: { readonly claim: Session['claim'] }): string => `${claim.namespace}/${claim.name}`;

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
    container: session.container ?? undefined,
    startedAt: new Date(session.startedAt * 1000),
    channel: session.channel,
    client: session.client,
    peer: '',
    program: programOf(session.program),
  };
}
