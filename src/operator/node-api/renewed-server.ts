import type { RpcServer } from '../../grpc/server.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { ServerIdentity } from '../pki/server-identity.ts';

const RENEW_MS = 20 * 86_400_000; // Of ninety days; a timer of Node's takes no more than 24.

export interface RenewedServerOptions {
  readonly identity: () => Promise<ServerIdentity>;
  readonly serve: (tls: ServerIdentity) => Promise<RpcServer>;
  readonly clock: Clock;
  readonly log: Log;
}

/** A server that is replaced by one with a fresh certificate in time. Its callers connect again, as after any restart. */
export async function renewedServer({ identity, serve, clock, log }: RenewedServerOptions): Promise<RpcServer> {
  let server = await serve(await identity());
  const { port } = server;
  let timer: Disposable | undefined;
  let renewing: Promise<void> = Promise.resolve();

  const renew = async (): Promise<void> => {
    const next = await identity(); // The old one serves until there is another.
    await server[Symbol.asyncDispose]();
    server = await serve(next);
    log.info('server certificate renewed', {});
  };
  const schedule = (): void => {
    timer = clock.after(RENEW_MS, () => {
      renewing = renew()
        .catch((err: unknown) => log.error('server certificate not renewed', { err }))
        .finally(schedule);
    });
  };
  schedule();
  return {
    port,
    async [Symbol.asyncDispose]() {
      timer?.[Symbol.dispose]();
      await renewing;
      timer?.[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}
