import type { Result } from '../../lib/result.ts';
import type { TicketIssuer } from '../ticket/issuer.ts';

/** Whose a ServiceAccount token is, as TokenReview says. */
export interface TokenOwner {
  /** `namespace/name`. */
  readonly serviceAccount: string;
  /** The node of the pod that the token was projected into; a token that was made otherwise has none. */
  readonly node: string | undefined;
}

export interface TokenReviews {
  /** Undefined for a token that is not good for the audience `aquifer`. Throws while nobody can be asked. */
  review(token: string): Promise<TokenOwner | undefined>;
}

/** What matters of a pod here. */
export interface PodFacts {
  readonly uid: string;
  /** Undefined until it is scheduled. */
  readonly node: string | undefined;
  /** Container → name of the claim it uses, in the pod's own namespace. */
  readonly claims: ReadonlyMap<string, string>;
}

export interface Pods {
  get(namespace: string, name: string): Promise<PodFacts | undefined>;
}

export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/** What any replica knows of the pool's keys. */
export interface Enrolments {
  readonly caPem: string;
  enrol(csrPem: string, node: string): Promise<Result<Enrolment, Refusal>>;
}

export interface Enrolment {
  readonly certificatePem: string;
  readonly ticketKeys: readonly { readonly kid: string; readonly x: string }[];
  readonly epoch: number;
}

/** A session as the backend of its node reports it. */
export interface SessionReport {
  readonly session: string;
  readonly claim: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly ended: boolean;
  /** Why it has ended. */
  readonly reason: string;
}

/** What only the leader does. */
export interface Leader {
  /** Resolves when it leads no more: those who follow must find the next. */
  readonly lost: Promise<void>;
  readonly issuer: TicketIssuer;
  readonly closings: Closings;
  /** Takes a report of a node that may be mistaken, or lie, about anything but its own name. */
  report(node: string, session: SessionReport): void;
}

/** The claims that are being closed, and the nodes that have to say so. */
export interface Closings {
  /** Calls `order` for each claim that the node is to close, now and later, until disposed. */
  follow(node: string, order: (closing: ClosingOrder) => void): Disposable;
  /** The node says that it has no session of the claim and will have none. */
  closed(node: string, claimUid: string): void;
}

export interface ClosingOrder {
  readonly claimUid: string;
  readonly deadline: Date;
}
