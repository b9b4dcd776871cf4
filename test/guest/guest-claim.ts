import { eventually } from '../support/eventually.ts';
import { startServe, type Serve, type ServeOptions } from '../support/serve.ts';
import type { GuestHost } from './guest-host.ts';
import type { Guest } from './guest.ts';
import { startJob, type Job } from './job.ts';

const GATEWAY_PORT = 9960;
const READY_MS = 120_000;
/** Where the connector of a guest offers the claim to whoever comes. */
export const SESSION_SOCKET = '/run/aquifer/session.sock';

/** An `aquifer serve` on the host, which its guests reach over the network. */
export const serveOn = (host: GuestHost, options: Omit<ServeOptions, 'under'> = {}): Promise<Serve> =>
  startServe({
    ...options,
    under: host.enter,
    args: ['--listen', `${host.address}:${GATEWAY_PORT}`, ...(options.args ?? [])],
  });

/** Hands a claim's ticket to a guest and starts the connector in it. @returns when programs of the guest can connect. */
export async function giveClaim(serve: Serve, guest: Guest, claim: string): Promise<Job> {
  const { code, stdout, stderr } = await serve.cli(['ticket', claim]);
  if (code !== 0) throw new Error(`no ticket for claim ${claim}: ${stderr}`);
  await guest.write(`/etc/aquifer/${claim}.json`, stdout);
  const connector = await startJob(
    guest,
    `connector-${claim}`,
    `mkdir -p /run/aquifer; exec aquifer-connector --ticket /etc/aquifer/${claim}.json --socket ${SESSION_SOCKET} --mode 0666 --state-dir /var/lib/aquifer-connector`,
  );
  await eventually(
    () => connector.output(),
    (output) => output.includes('ready'),
    READY_MS,
  );
  return connector;
}
