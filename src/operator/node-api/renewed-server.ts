import type { RpcServer } from '../../grpc/server.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { ServerIdentity } from '../pki/server-identity.ts';

const RETRY_MS = 60_000;
const RENEW_MS = 20 * 86_400_000; // Of ninety days; a timer of Node's takes no more than 24.

export interface RenewedServerOptions {
  readonly identity: () => Promise<ServerIdentity>;
  readonly serve: (tls: ServerIdentity) => Promise<RpcServer>;
  readonly clock: Clock;
  readonly log: Log;
}

/** A server that is replaced by one with a fresh certificate in time. Its callers connect again, as after any restart. */
export async function renewedServer({ identity, serve, clock, log }: RenewedServerOptions): Promise<RpcServer> {
  let server: RpcServer | undefined = await serve(await identity());
  const { port } = server;
  let timer: Disposable | undefined;
  let renewing: Promise<void> = Promise.resolve();

  const end = async (): Promise<void> => {
    const old = server;
    server = undefined;
    await old?.[Symbol.asyncDispose]();
  };
  const renew = async (): Promise<void> => {
    const next = await identity(); // The old one serves until there is another.
    await end();
    server = await serve(next);
    log.info('server certificate renewed', {});
  };
  const schedule = (delayMs: number): void => {
    timer = clock.after(delayMs, () => {
      renewing = renew().then(
        () => schedule(RENEW_MS),
        (err: unknown) => {
          log.error('server certificate not renewed', { err });
          schedule(RETRY_MS); // Perhaps nobody serves now.
        },
      );
    });
  };
  schedule(RENEW_MS);
  return {
    port,
    async [Symbol.asyncDispose]() {
      timer?.[Symbol.dispose]();
      await renewing;
      timer?.[Symbol.dispose]();
      await end();
    },
  };
}
