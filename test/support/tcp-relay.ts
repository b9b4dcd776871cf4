import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A relay to a port of this machine that can fall silent, and cut. */
export interface TcpRelay extends AsyncDisposable {
  readonly port: number;
  /** Connections stay, and nothing comes through any more; new ones are silent, too. */
  fallSilent(): void;
  /** New connections come through again; those that were silent are ended. */
  speak(): void;
  /** Ends all connections. */
  cut(): void;
  /** Ends the next connection when so many bytes have come through it, both ways together. */
  cutNextAfter(bytes: number): void;
}

export async function relayTo(port: number): Promise<TcpRelay> {
  const sockets = new Set<Socket>();
  let isSilent = false;
  let nextLives = Infinity;
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    let left = nextLives;
    nextLives = Infinity;
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => sockets.delete(from));
      from.on('data', (bytes: Buffer) => {
        if (isSilent || left <= 0) return;
        to.write(bytes.subarray(0, left));
        left -= bytes.length;
        if (left <= 0) for (const end of [near, far]) end.destroySoon();
      });
      from.on('end', () => {
        if (!isSilent) to.end();
      });
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    fallSilent() {
      isSilent = true;
    },
    speak() {
      isSilent = false;
      cut();
    },
    cut,
    cutNextAfter(bytes) {
      nextLives = bytes;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
}
