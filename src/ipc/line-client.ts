import { connect, type Socket } from 'node:net';
import { LINES_VERSION, readObjects, Refused, textField, writeObject, type JsonObject } from './json-lines.ts';
import { socketPath } from './socket-path.ts';

export interface LineClientOptions {
  readonly path: string;
  /** Who we are, for the peer's log. */
  readonly name: string;
  readonly version: string;
  /** How long one request may take. @default 5000 */
  readonly timeoutMs?: number;
  readonly onEvent?: (event: JsonObject) => void;
  readonly onClose?: () => void;
}

/** One connection to a server that speaks JSON lines. */
export interface LineClient {
  /** What the server answered to our greeting. */
  readonly greeting: JsonObject;
  /** @throws Refused with the server's reason, or Error when the connection ends or takes too long. */
  request(op: string, fields?: JsonObject): Promise<JsonObject>;
  close(): void;
}

interface Waiting {
  resolve(answer: JsonObject): void;
  reject(error: Error): void;
}

/** Connects and greets. @throws Error when nobody listens there, Refused when the server speaks another version. */
export async function connectLines(options: LineClientOptions): Promise<LineClient> {
  const { path, name, version, onEvent, onClose, timeoutMs = 5000 } = options;
  const socket = await dial(path);
  const waiting = new Map<number, Waiting>();
  let lastId = 0;
  let failure: Error | undefined;

  readObjects(socket, (object) => {
    if (object['id'] === undefined) return onEvent?.(object);
    const asker = waiting.get(Number(object['id']));
    waiting.delete(Number(object['id']));
    if (object['ok'] === true) asker?.resolve(object);
    else asker?.reject(new Refused(textField(object, 'reason', 'Unknown'), textField(object, 'message')));
    return undefined;
  });
  socket.on('error', (error) => {
    failure = error;
  });
  socket.on('close', () => {
    failure ??= new Error(`the connection to ${path} was closed`);
    for (const asker of waiting.values()) asker.reject(failure);
    waiting.clear();
    onClose?.();
  });

  const request = (op: string, fields: JsonObject = {}): Promise<JsonObject> => {
    if (failure !== undefined || socket.destroyed) return Promise.reject(failure ?? new Error(`${path} is closed`));
    const id = ++lastId;
    return new Promise<JsonObject>((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(id);
        reject(new Error(`${path} did not answer ${op} within ${timeoutMs} ms`));
      }, timeoutMs);
      waiting.set(id, {
        resolve: (answer) => (clearTimeout(timer), resolve(answer)),
        reject: (error) => (clearTimeout(timer), reject(error)),
      });
      writeObject(socket, { ...fields, id, op });
    });
  };

  try {
    const greeting = await request('hello', { v: LINES_VERSION, name, version });
    return { greeting, request, close: () => void socket.destroy() };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function dial(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const address = socketPath(path);
    const socket = connect(address.path);
    const settle = (): void => {
      socket.removeAllListeners();
      address[Symbol.dispose]();
    };
    socket.once('connect', () => (settle(), resolve(socket)));
    socket.once('error', (error) => (settle(), reject(error)));
  });
}
