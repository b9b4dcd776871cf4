/** The sessions of claims, wherever they run; the backend fills it. */
export interface SessionControl {
  /**
   * Ends the sessions of a claim and lets no new one begin. `closed`: none is left, and their memory is free; `pending`:
   * some are left at the deadline. To be called again is harmless.
   */
  close(claimUid: string, deadline: Date): Promise<'closed' | 'pending'>;
}

/** Remembers which key an unbound ticket was exchanged for. The answer is durable before it is given. */
export interface TicketLedger {
  /** `first`: nobody had it before; `same`: this holder had it; `other`: another key had it. `exp` in seconds. */
  claim(jti: string, holder: string, exp: number): Promise<'first' | 'same' | 'other'>;
}
