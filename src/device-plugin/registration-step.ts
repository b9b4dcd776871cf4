/** What is seen of one resource's registration. A socket file is known by an identity that a new file does not have. */
export interface Seen {
  /** Kubelet's socket; undefined while there is none. */
  readonly kubelet: string | undefined;
  /** Our own socket, as it lies there now. */
  readonly ours: string | undefined;
  /** Our own socket, as we made it. */
  readonly served: string | undefined;
  /** The kubelet that has last taken our registration. */
  readonly registeredWith: string | undefined;
  /** Kubelet watches our devices, or it had no time to begin to. */
  readonly isWatched: boolean;
}

/**
 * ```
 *            no kubelet.sock            our socket is gone          a new kubelet.sock, or nobody watches
 *   Wait ◄───────────────────── seen ──────────────────► Serve ────────────────► Register ──► Keep
 * ```
 * A kubelet that starts removes all sockets beside its own before it makes its own; so ours is made anew only then. Another
 * socket in the place of ours is that of a younger plugin: it has taken over, and two would never cease to.
 */
export type Step = 'Wait' | 'Serve' | 'Register' | 'Keep';

/** The next step towards being registered. */
export function nextStep({ kubelet, ours, served, registeredWith, isWatched }: Seen): Step {
  if (kubelet === undefined) return 'Wait';
  if (served === undefined || ours === undefined) return 'Serve';
  if (ours !== served) return 'Wait';
  return registeredWith === kubelet && isWatched ? 'Keep' : 'Register';
}
