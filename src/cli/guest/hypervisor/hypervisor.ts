import type { Wish } from './qemu-plan.ts';

/** What runs a guest. */
export interface Hypervisor {
  /** Gives the guest what it has not yet. @throws CommandError if it does not run, or cannot. */
  plug(wish: Wish): Promise<void>;
  /** What `plug` would do, for a person to do: QMP commands or XML. */
  script(wish: Wish): Promise<string>;
  /** Takes away what is ours; nothing where the guest does not run. */
  unplug(): Promise<void>;
  /** Which of our devices the guest has; undefined while it does not run. */
  pluggedIn(): Promise<ReadonlySet<string> | undefined>;
  /** Why a process beside it cannot be a device of the guest; undefined if it can. */
  noVhostUser(): Promise<string | undefined>;
}
