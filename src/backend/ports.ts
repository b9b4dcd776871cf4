import type { GuestOrigin } from '../api/guest-offer.ts';
import type { TicketFile } from '../api/ticket-file.ts';
import type { ClaimReference } from './session-registry.ts';

/** The one that signs: the operator, in the same process or elsewhere. Each method throws `Refused` with its reason. */
export interface Authority {
  /** Signs the server certificate of the node's gateway, and tells how tickets are checked. */
  enrol(csrPem: string): Promise<Enrolment>;
  /** A fresh ticket for the holder of an older one, while the claim has its vGPUs. `holderKey` is base64url. */
  renew(ticket: string, holderKey: string): Promise<string>;
  /** The ticket that a guest of this host is offered, bound to the key that asks for it. */
  obtain(from: GuestOrigin, holderKey: string): Promise<TicketFile>;
  /** Whether the claim has its vGPUs and is not being deleted. */
  isBound(claim: ClaimReference): Promise<boolean>;
}

export interface Enrolment {
  readonly certificatePem: string;
  readonly caPem: string;
  readonly ticketKeys: readonly { readonly kid: string; readonly x: string }[];
  readonly epoch: number;
}

/** Where the workers of this node find what they need. */
export interface WorkerPaths {
  readonly ledgers: string;
  readonly turns: string;
  /** The `libcuda.so.1` that workers load. */
  readonly driver: string;
  /** Environment of the driver, such as the settings of the software GPU. */
  readonly environment: Readonly<Record<string, string>>;
}
