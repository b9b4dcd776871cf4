/** A running session as `aquifer sessions` shows it. */
export interface SessionView {
  /** 32 hexadecimal digits. */
  readonly session: string;
  readonly namespace: string;
  readonly claim: string;
  readonly pid?: number;
  readonly program?: string;
  /** The nested container that the program is in, and its share of the claim. */
  readonly container?: { readonly id: string; readonly share?: string };
  /** How its program reaches the GPU's node; over TCP and vsock it is encrypted from end to end. */
  readonly channel: 'unix' | 'tcp' | 'vsock';
  readonly peer?: string;
  /** `Disconnected`: it waits for its program, whose connection is lost. */
  readonly state: 'Connected' | 'Disconnected';
  /** How often its connection was made again. */
  readonly resumes: number;
  readonly startedAt: string;
  readonly vgpus: readonly {
    readonly gpu: string;
    readonly memoryBytes: number;
    readonly memoryLimitBytes: number;
    readonly computePercent: number;
    /** Of the GPU's time, over the last second. */
    readonly utilizationPercent: number;
    /** GPU time since the session began, as text since it may be beyond a number. */
    readonly busyNs: string;
  }[];
}
