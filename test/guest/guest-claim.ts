import { eventually } from '../support/eventually.ts';
import { startServe, type Serve, type ServeOptions } from '../support/serve.ts';
import type { GuestHost } from './guest-host.ts';
import type { Guest } from './guest.ts';
import { startJob, type Job } from './job.ts';

export const GATEWAY_PORT = 9960;
const READY_MS = 120_000;
const TICKET = '/etc/aquifer/ticket.json';
const SOCKET = '/run/aquifer/session.sock';

/** An `aquifer serve` on the host, which its guests reach over the network. */
export const serveOn = (host: GuestHost, options: Omit<ServeOptions, 'under'> = {}): Promise<Serve> =>
  startServe({
    ...options,
    under: host.enter,
    args: ['--listen', `${host.address}:${GATEWAY_PORT}`, ...(options.args ?? [])],
  });

/** Puts a claim's ticket where the connector of a guest looks for it. */
export async function giveTicket(serve: Serve, guest: Guest, claim: string): Promise<void> {
  const { code, stdout, stderr } = await serve.cli(['ticket', claim]);
  if (code !== 0) throw new Error(`no ticket for claim ${claim}: ${stderr}`);
  await guest.write(TICKET, stdout);
}

/** Starts the connector of a guest, which serves containers by CDI devices. @returns when it does */
export async function startGuestConnector(guest: Guest): Promise<void> {
  await becomesReady(guest, await startJob(guest, 'guest-connector', 'exec aquifer-connector guest'));
}

/** Starts a connector in the guest that offers the claim to whoever comes to its socket. @returns that, when programs can connect */
export async function offerClaim(guest: Guest): Promise<string> {
  const words = `--ticket ${TICKET} --socket ${SOCKET} --mode 0666 --state-dir /var/lib/aquifer-connector`;
  await becomesReady(
    guest,
    await startJob(guest, 'connector', `mkdir -p /run/aquifer; exec aquifer-connector ${words}`),
  );
  return SOCKET;
}

async function becomesReady(guest: Guest, connector: Job): Promise<void> {
  const output = await eventually(
    () => connector.output(),
    (said) => /ready|cannot go on/.test(said),
    READY_MS,
  );
  if (!output.includes('ready')) throw new Error(`the connector of ${guest.name} has ended: ${output}`);
}
