/** How long a heartbeat has been the last one. */
export interface Silence {
  readonly ms: number;
  /** No other heartbeat was ever seen by this process: it may be an old one, read from the store. */
  readonly first: boolean;
}

/** Measures by our own clock how long each node has been silent: the clocks of nodes need not agree with it. */
export class Liveness {
  readonly #seen = new Map<string, { readonly heartbeat: string; readonly atMs: number; readonly first: boolean }>();

  see(node: string, heartbeat: string, nowMs: number): Silence {
    const before = this.#seen.get(node);
    if (before?.heartbeat === heartbeat) return { ms: nowMs - before.atMs, first: before.first };
    const first = before === undefined;
    this.#seen.set(node, { heartbeat, atMs: nowMs, first });
    return { ms: 0, first };
  }

  forget(node: string): void {
    this.#seen.delete(node);
  }
}
