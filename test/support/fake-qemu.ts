import { createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** A QEMU's monitor without a QEMU: it remembers what was plugged. */
export interface FakeQemu extends AsyncDisposable {
  readonly devices: Set<string>;
  readonly blockNodes: Set<string>;
}

interface Command {
  readonly execute: string;
  readonly arguments?: Readonly<Record<string, string>>;
}

export async function fakeQemu(path: string): Promise<FakeQemu> {
  const [devices, blockNodes, clients] = [new Set<string>(), new Set<string>(), new Set<Socket>()];
  const answers: Readonly<Record<string, (words: Readonly<Record<string, string>>) => unknown>> = {
    'qom-list': () => [...devices].map((name) => ({ name, type: 'child<device>' })),
    'query-named-block-nodes': () => [...blockNodes].map((name) => ({ 'node-name': name })),
    device_add: ({ id = '' }) => void devices.add(id),
    device_del: ({ id = '' }) => void devices.delete(id),
    'blockdev-add': (words) => void blockNodes.add(words['node-name'] ?? ''),
    'blockdev-del': (words) => void blockNodes.delete(words['node-name'] ?? ''),
  };
  const answer = ({ execute, arguments: words = {} }: Command): unknown =>
    answers[execute]?.(words) ?? (execute.startsWith('query-') ? [] : {});
  const server = createServer((client) => {
    clients.add(client);
    client.on('error', () => undefined);
    client.write('{"QMP": {}}\n');
    createInterface({ input: client }).on('line', (line) => {
      client.write(`${JSON.stringify({ event: 'NOISE' })}\n`);
      client.write(`${JSON.stringify({ return: answer(JSON.parse(line) as Command) })}\n`);
    });
  });
  await new Promise<void>((resolve) => void server.listen(path, resolve));
  return {
    devices,
    blockNodes,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const client of clients) client.destroy();
      }),
  };
}
