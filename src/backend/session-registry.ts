import type { AdmittedContainer } from './container-share.ts';

/** One vGPU as a ticket or a worker's configuration has it. */
export interface VgpuShare {
  /** As the program counts devices. */
  readonly index: number;
  /** UUID of the GPU. */
  readonly gpu: string;
  readonly memoryBytes: number;
  readonly computePercent: number;
}

export interface ClaimReference {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** How a program reaches this node: a unix socket in clear, TCP and vsock under TLS from end to end. */
export type Channel = 'unix' | 'tcp' | 'vsock';

/** Whether the program's client is there, and how often it has come back. */
export interface ClientState {
  readonly connected: boolean;
  readonly resumes: number;
}

/** A session that was admitted and has not ended. */
export interface Session {
  /** 32 hexadecimal digits. */
  readonly session: string;
  readonly claim: ClaimReference;
  /** What its claim has. */
  readonly vgpus: readonly VgpuShare[];
  /** The nested container that its program is in, with what that may use of the claim. */
  readonly container?: AdmittedContainer | undefined;
  readonly startedAt: Date;
  readonly channel: Channel;
  readonly peer: string;
  /** Not told of before it was lost for the first time. */
  readonly client?: ClientState | undefined;
  readonly program: { readonly pid?: number; readonly name?: string };
}

/** The sessions of the node. Rebuilt from what the gateway reports, so it needs no disk. */
export interface SessionRegistry {
  readonly list: () => readonly Session[];
  ofClaim(uid: string): readonly Session[];
  /** Claims that have or had sessions here, until they are forgotten. */
  readonly claims: () => readonly ClaimReference[];
  /** The claim has nothing here any more. */
  forget(claimUid: string): void;
  add(session: Session): void;
  /** Its program reaches the node another way now. */
  moved(id: string, channel: Channel, peer: string): void;
  /** Its program's connection is lost, or was made again. */
  clientIs(id: string, client: ClientState): void;
  remove(id: string, reason: string): Session | undefined;
  /** Forgets all sessions but these; those that were not known are taken in as `rebuild` has them. */
  replace(living: ReadonlySet<string>, rebuild: (id: string) => Session | undefined): void;
  /** Calls back after every change, until disposed. */
  onChange(callback: () => void): Disposable;
}

/** `ended` is why; undefined for a session that begins. */
export type SessionListener = (session: Session, ended: string | undefined) => void;

export function createSessionRegistry(told: SessionListener = () => undefined): SessionRegistry {
  let sessions: ReadonlyMap<string, Session> = new Map();
  const claims = new Map<string, ClaimReference>();
  const callbacks = new Set<() => void>();
  const set = (next: ReadonlyMap<string, Session>): void => {
    sessions = next;
    for (const { claim } of next.values()) claims.set(claim.uid, claim);
    for (const callback of callbacks) callback();
  };

  return {
    list: () => [...sessions.values()],
    ofClaim: (uid) => [...sessions.values()].filter(({ claim }) => claim.uid === uid),
    claims: () => [...claims.values()],
    forget: (claimUid) => void claims.delete(claimUid),
    add(session) {
      set(new Map(sessions).set(session.session, session));
      told(session, undefined);
    },
    moved(id, channel, peer) {
      const known = sessions.get(id);
      if (known !== undefined) set(new Map(sessions).set(id, { ...known, channel, peer }));
    },
    clientIs(id, client) {
      const known = sessions.get(id);
      if (known !== undefined) set(new Map(sessions).set(id, { ...known, client }));
    },
    remove(id, reason) {
      const known = sessions.get(id);
      if (known === undefined) return undefined;
      told(known, reason);
      set(new Map([...sessions].filter(([key]) => key !== id)));
      return known;
    },
    replace(living, rebuild) {
      const next = [...living].flatMap((id) => {
        const session = sessions.get(id) ?? rebuild(id);
        return session === undefined ? [] : [[id, session] as const];
      });
      const before = sessions;
      set(new Map(next));
      for (const [id, session] of before) if (!living.has(id)) told(session, 'Unknown');
      for (const [id, session] of next) if (!before.has(id)) told(session, undefined);
    },
    onChange(callback) {
      callbacks.add(callback);
      return { [Symbol.dispose]: () => void callbacks.delete(callback) };
    },
  };
}
