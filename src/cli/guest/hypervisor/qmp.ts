import { createConnection, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { CommandError } from '../../failure.ts';

/** A command of QEMU's monitor. */
export interface QmpCommand {
  readonly execute: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
}

/** QEMU's refusal of a command. */
export class QmpError extends CommandError {
  override readonly name = 'CommandError';
}

interface Message {
  readonly return?: unknown;
  readonly error?: { readonly desc?: string };
}

/** QEMU serves one client at a time: the next one connects and hears nothing. */
const ANSWER_MS = 10_000;

/** A connection to the monitor of one QEMU. Dispose it soon: nobody else is served meanwhile. */
export class Qmp implements Disposable {
  readonly #path: string;
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;

  private constructor(path: string, socket: Socket) {
    this.#path = path;
    this.#socket = socket;
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  /** @returns undefined where no QEMU listens. @throws CommandError where one does not answer. */
  static async connect(path: string): Promise<Qmp | undefined> {
    const socket = await connected(path);
    if (socket === undefined) return undefined;
    const qmp = new Qmp(path, socket);
    try {
      await qmp.#read(); // The greeting.
      await qmp.execute({ execute: 'qmp_capabilities' });
      return qmp;
    } catch (error) {
      qmp[Symbol.dispose]();
      throw error;
    }
  }

  /** @throws QmpError with what QEMU says against it. */
  async execute(command: QmpCommand): Promise<unknown> {
    this.#socket.write(`${JSON.stringify(command)}\n`);
    for (;;) {
      const { error, ...message } = await this.#read();
      if (error !== undefined)
        throw new QmpError(`QEMU refuses ${command.execute}: ${error.desc ?? 'it does not say why'}`);
      if ('return' in message) return message.return;
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #read(): Promise<Message> {
    const late = new CommandError(
      `${this.#path}: no answer in ${ANSWER_MS / 1000} s: QEMU serves one client at a time`,
    );
    const timer = setTimeout(() => this.#socket.destroy(late), ANSWER_MS);
    try {
      const line = await this.#lines.next();
      if (line.done === true) throw this.#socket.errored ?? new CommandError(`${this.#path}: QEMU closed its monitor`);
      return JSON.parse(line.value) as Message;
    } catch (cause) {
      if (cause instanceof CommandError) throw cause;
      throw new CommandError(`${this.#path}: this is not the monitor of a QEMU (-qmp unix:PATH)`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }
}

function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path, () => {
      socket.removeAllListeners('error').on('error', () => undefined); // The end of its lines tells of it.
      resolve(socket);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(undefined);
      else
        reject(new CommandError(`${path}: the monitor of QEMU cannot be reached: ${error.message}`, { cause: error }));
    });
  });
}
