import type { Result } from '../../lib/result.ts';

/** How a guest reaches the gateway: vsock by the kernel, vsock by a process of this host, or its network alone. */
export const CHANNELS = ['vsock', 'vhost-user-vsock', 'tcp'] as const;
export type GuestChannel = (typeof CHANNELS)[number];

/** What this host and the guest's machine can do. */
export interface ChannelFacts {
  /** Whether the kernel has vhost-vsock. */
  readonly kernelVsock: boolean;
  /** Whether vhost-device-vsock is installed. */
  readonly vhostDevice: boolean;
  /** Why the guest cannot have a vhost-user device; undefined if it can. */
  readonly noVhostUser: string | undefined;
}

const NO_KERNEL = 'the kernel of this host has no /dev/vhost-vsock (modprobe vhost_vsock)';
const NO_PROGRAM = 'vhost-device-vsock is not on the PATH (cargo install vhost-device-vsock)';

/** The channel that was asked for, or the best there is. Refused with the reason why it cannot be. */
export function chooseChannel(asked: GuestChannel | 'auto', facts: ChannelFacts): Result<GuestChannel, string> {
  const against = reasonsAgainst(facts);
  if (asked !== 'auto') {
    const reason = against[asked];
    return reason === undefined ? { ok: true, value: asked } : { ok: false, error: `--channel ${asked}: ${reason}` };
  }
  return { ok: true, value: CHANNELS.find((channel) => against[channel] === undefined) ?? 'tcp' };
}

function reasonsAgainst(facts: ChannelFacts): Readonly<Record<GuestChannel, string | undefined>> {
  return {
    vsock: facts.kernelVsock ? undefined : NO_KERNEL,
    'vhost-user-vsock': facts.noVhostUser ?? (facts.vhostDevice ? undefined : NO_PROGRAM),
    tcp: undefined,
  };
}
