import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ApiAccess } from './access.ts';

/** The API server as pods reach it, without client-node: an agent of a node cannot spare its 60 MiB. */
export function serviceAccount(server: string, directory: string): ApiAccess {
  return {
    getCurrentCluster: () => ({ server }),
    getCurrentContext: () => 'of the ServiceAccount',
    async applyToHTTPSOptions(options) {
      const [token, ca] = await Promise.all([
        readFile(join(directory, 'token'), 'utf8'),
        readFile(join(directory, 'ca.crt')),
      ]);
      options.headers = { authorization: `Bearer ${token.trim()}` };
      options.ca = ca;
    },
  };
}
