import { VSOCK_PORT, type TicketFile } from '../../api/ticket-file.ts';
import type { Result } from '../../lib/result.ts';
import type { GuestChannel } from './channel.ts';

/** The host, from any of its guests. */
const HOST_OVER_VSOCK = `vsock:2:${VSOCK_PORT}`;

/** A host's name for itself: inside a guest it is the guest. */
const isLoopback = (address: string): boolean => /^(127[.]|localhost:|\[::1\])/.test(address);

/**
 * The ticket as the guest needs it: over vsock where there is a device, and by the addresses that its network reaches. Refused where
 * nothing would be left.
 */
export function forGuest(ticket: TicketFile, channel: GuestChannel): Result<TicketFile, string> {
  const [first] = ticket.endpoints;
  const node = first?.node ?? '';
  const reached = ticket.endpoints.filter(({ address }) => !isLoopback(address));
  const vsock = channel === 'tcp' ? [] : [{ node, address: HOST_OVER_VSOCK }];
  const endpoints = [...vsock, ...reached];
  if (endpoints.length > 0) return { ok: true, value: { ...ticket, endpoints } };
  const error = `a guest cannot reach ${first?.address ?? 'the gateway'}: start serve with --listen 0.0.0.0:9960, or name an address of this host with --address`;
  return { ok: false, error };
}
