import { createServer, type Socket } from 'node:net';
import { LINES_VERSION, readObjects, Refused, textField, writeObject, type JsonObject } from './json-lines.ts';
import { listenPrivately } from './listen.ts';

/** One peer that greeted us. */
export interface LinePeer {
  readonly name: string;
  readonly version: string;
  /** Tells the peer something that it did not ask for. */
  event(event: string, fields: JsonObject): void;
  close(): void;
}

export interface LineHandlers {
  /** Answers a request; a `Refused` is the peer's answer, any other exception is a failure of ours. */
  request(peer: LinePeer, op: string, fields: JsonObject): Promise<JsonObject>;
  connected?(peer: LinePeer): void;
  disconnected?(peer: LinePeer): void;
  failed(err: unknown): void;
}

/** Serves JSON lines on a unix socket. Ends all connections when disposed. */
export async function serveLines(path: string, name: string, handlers: LineHandlers): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serveConnection(socket, name, handlers);
  });
  await listenPrivately(server, path);
  return {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function serveConnection(socket: Socket, name: string, handlers: LineHandlers): void {
  let peer: LinePeer | undefined;

  const greet = (fields: JsonObject): JsonObject => {
    if (fields['op'] !== 'hello') throw new Refused('HelloExpected', 'the first request must be hello');
    if (fields['v'] !== LINES_VERSION) {
      throw new Refused(
        'ProtocolMismatch',
        `${name} speaks version ${LINES_VERSION}, not ${JSON.stringify(fields['v'])}`,
      );
    }
    peer = peerOf(socket, fields);
    handlers.connected?.(peer);
    return { v: LINES_VERSION, name };
  };

  readObjects(socket, (fields) => {
    const id = fields['id'];
    const known = peer;
    const answer = async (): Promise<JsonObject> =>
      known === undefined ? greet(fields) : handlers.request(known, textField(fields, 'op'), fields);
    answer().then(
      (result) => writeObject(socket, { ...result, id, ok: true }),
      (error: unknown) => {
        if (!(error instanceof Refused)) handlers.failed(error);
        writeObject(socket, { id, ok: false, ...refusalOf(error) });
        if (peer === undefined) socket.end();
      },
    );
  });
  socket.on('error', () => undefined); // 'close' follows and says all that matters.
  socket.on('close', () => {
    if (peer !== undefined) handlers.disconnected?.(peer);
  });
}

const peerOf = (socket: Socket, fields: JsonObject): LinePeer => ({
  name: textField(fields, 'name'),
  version: textField(fields, 'version'),
  event: (event, more) => writeObject(socket, { ...more, event }),
  close: () => void socket.destroy(),
});

const refusalOf = (error: unknown): JsonObject =>
  error instanceof Refused
    ? { reason: error.reason, message: error.message }
    : { reason: 'Internal', message: 'the request failed; the log says why' };
