import type { Clock } from '../lib/clock.ts';

/**
 * How agents of nodes tell an operator that they are alive: beside the objects, which are written when something has
 * changed and else not.
 */
export interface Beat {
  readonly node: string;
  /** When the agent said so, in its own words; another word is another beat. */
  readonly at: string;
  /** False: it was found, and may be old. */
  readonly isNews: boolean;
}

/** The operator's end. */
export interface Heartbeats {
  /** Tells of each beat, and at first of the last one of each node, until the signal. */
  follow(heard: (beat: Beat) => void, signal: AbortSignal): Promise<void>;
}

/** The end of one node's agent. */
export interface Pulse {
  beat(): Promise<void>;
}

/** Both ends in one process. */
export interface LocalHeartbeats extends Heartbeats {
  pulseOf(node: string): Pulse;
}

/** For an operator and an agent of one process. */
export function localHeartbeats(clock: Clock): LocalHeartbeats {
  const listeners = new Set<(beat: Beat) => void>();
  return {
    follow: (heard, signal) =>
      new Promise((resolve) => {
        const end = (): void => {
          listeners.delete(heard);
          resolve();
        };
        if (signal.aborted) return end();
        listeners.add(heard);
        signal.addEventListener('abort', end, { once: true });
      }),
    pulseOf: (node) => ({
      beat() {
        const at = clock.now().toISOString();
        for (const heard of listeners) heard({ node, at, isNews: true });
        return Promise.resolve();
      },
    }),
  };
}
