import type { Beat } from '../../runtime/heartbeats.ts';

/** How long nothing was heard of a node. */
export interface Silence {
  readonly ms: number;
  /** What was heard last, in the agent's words. */
  readonly since: string | undefined;
  /** Nothing was heard by this process, but perhaps found: the agent may have been silent for longer. */
  readonly unheard: boolean;
}

interface Heard {
  readonly at: string | undefined;
  readonly atMs: number;
  readonly unheard: boolean;
}

/** Measures by our own clock how long each node has been silent: the clocks of nodes need not agree with it. */
export class Liveness {
  readonly #heard = new Map<string, Heard>();

  hear({ node, at, isNews }: Beat, nowMs: number): void {
    if (this.#heard.get(node)?.at !== at) this.#heard.set(node, { at, atMs: nowMs, unheard: !isNews });
  }

  /** Of a node that was never heard of the silence begins now. */
  silenceOf(node: string, nowMs: number): Silence {
    const heard = this.#heard.get(node) ?? { at: undefined, atMs: nowMs, unheard: true };
    this.#heard.set(node, heard);
    return { ms: nowMs - heard.atMs, since: heard.at, unheard: heard.unheard };
  }

  forget(node: string): void {
    this.#heard.delete(node);
  }
}
