/**
 * What a test runs inside a node, beside the device plugin there: `connector RUN_DIR` in the place of the connector, which
 * puts a fresh socket into each slot that it is asked to prepare; `publish RUN_DIR CAPACITY WITHDRAWN` in that of the backend.
 */
import { chmodSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { connectLines } from '../../src/ipc/line-client.ts';
import { serveLines } from '../../src/ipc/line-server.ts';

const [verb, runDir = '', ...words] = process.argv.slice(2);
if (verb === 'connector') await serveConnector();
else if (verb === 'publish') await publish(Number(words[0]), Number(words[1]));
else throw new Error(`there is no ${verb}`);

async function serveConnector(): Promise<void> {
  const listeners = new Map<string, Server>();
  await serveLines(join(runDir, 'connector.sock'), 'connector', {
    async request(_, __, { slot }) {
      const socket = join(runDir, 'slots', String(slot), 'session.sock');
      listeners.get(socket)?.close();
      rmSync(socket, { force: true });
      const listener = createServer((program) => program.end(`${String(slot)}\n`)).listen(socket);
      await once(listener, 'listening');
      chmodSync(socket, 0o666);
      listeners.set(socket, listener);
      console.log(`prepared ${String(slot)}`);
      return {};
    },
    failed: (err) => console.error(err),
  });
}

async function publish(capacity: number, withdrawn: number): Promise<void> {
  const path = join(runDir, 'device-plugin.sock');
  const client = await connectLines({ path, name: 'backend', version: 'test' });
  const { withheld, short } = await client.request('publishSlices', { capacity, withdrawn });
  console.log(JSON.stringify({ withheld, short }));
  client.close();
}
