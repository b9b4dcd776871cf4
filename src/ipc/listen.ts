import { chmodSync, rmSync } from 'node:fs';
import type { Server } from 'node:net';
import { socketPath } from './socket-path.ts';

/**
 * Listens on a unix socket that only this user may open, in place of whatever an earlier process left there. The
 * directory must be this user's own (0700), so that there is no moment in which another could connect.
 */
export function listenPrivately(server: Server, path: string): Promise<void> {
  rmSync(path, { force: true });
  const address = socketPath(path);
  return new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.path, () => {
      server.off('error', reject);
      chmodSync(path, 0o600);
      resolve();
    });
  }).finally(() => address[Symbol.dispose]());
}
