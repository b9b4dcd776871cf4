import { createConnection, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 20;

interface Message {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** A connection to QEMU's monitor. A socket of QEMU serves one client at a time: open it late, dispose it early. */
export class Qmp implements Disposable {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;
  readonly #events: Message[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  /** Waits until QEMU listens. @throws Error when `hasEnded` says that it never will. */
  static async connect(path: string, hasEnded: () => boolean): Promise<Qmp> {
    for (;;) {
      const socket = await connected(path);
      if (socket !== undefined) {
        const qmp = new Qmp(socket);
        await qmp.#read(); // The greeting.
        await qmp.execute('qmp_capabilities');
        return qmp;
      }
      if (hasEnded()) throw new Error(`QEMU has ended: nobody listens at ${path}`);
      await sleep(POLL_MS);
    }
  }

  /** @throws Error with what QEMU says against it. */
  async execute(command: string, words: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: words })}\n`);
    for (;;) {
      const message = await this.#read();
      if (message.error !== undefined) throw new Error(`QMP ${command}: ${message.error.desc}`);
      if ('return' in message) return message.return;
      this.#events.push(message);
    }
  }

  /** The data of the next event of this name, be it one that came already. */
  async event(name: string): Promise<Readonly<Record<string, unknown>>> {
    for (;;) {
      const index = this.#events.findIndex(({ event }) => event === name);
      const [found] = index < 0 ? [] : this.#events.splice(index, 1);
      if (found !== undefined) return found.data ?? {};
      this.#events.push(await this.#read());
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #read(): Promise<Message> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('QEMU closed its monitor');
    return JSON.parse(line.value) as Message;
  }
}

/** @returns nothing while nobody listens. */
export function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(path, () => {
      socket.removeAllListeners('error').on('error', () => undefined); // Its end is told by the end of its data.
      resolve(socket);
    });
    socket.once('error', () => resolve(undefined));
  });
}
