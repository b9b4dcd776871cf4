import { connect, type NetConnectOpts, type Socket } from 'node:net';

/** What a stranger heard, and whether it was sent away within the time there was. */
export interface Heard {
  readonly closed: boolean;
  readonly bytes: Buffer;
}

/** Connects, says `bytes` and nothing more, and listens until the other side closes or `patienceMs` are over. */
export async function say(where: NetConnectOpts, bytes: Buffer | string, patienceMs = 100): Promise<Heard> {
  const socket = await connected(where);
  const heard: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => heard.push(chunk));
  // Not once(): a reset is a way of closing, and no failure of the test.
  const closed = new Promise<true>((resolve) => socket.once('close', () => resolve(true)));
  socket.write(bytes);
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), patienceMs)));
  const wasClosed = await Promise.race([closed, over]);
  clearTimeout(timer);
  socket.destroy();
  return { closed: wasClosed, bytes: Buffer.concat(heard) };
}

/** A connection on which nothing is said yet. What becomes of it is no exception. */
export async function connected(where: NetConnectOpts): Promise<Socket> {
  const socket = connect(where);
  socket.on('error', () => undefined);
  await new Promise<void>((resolve) => {
    socket.once('connect', resolve);
    socket.once('close', () => resolve());
  });
  return socket;
}

/** Noise that is the same at every run, so that a failure can be repeated (xorshift). */
export function noise(seed: number, length: number): Buffer {
  let state = seed | 1;
  return Buffer.from(
    Array.from({ length }, () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return state & 0xff;
    }),
  );
}

/** A message of a session socket: its length as u32 little endian, then JSON. */
export function framed(message: unknown): Buffer {
  const text = Buffer.from(JSON.stringify(message));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text]);
}
