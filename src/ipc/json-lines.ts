import type { Socket } from 'node:net';
import { lineSplitter } from '../lib/line-splitter.ts';

/** Both ends refuse a longer line: no message of ours needs one. */
const MAX_LINE_BYTES = 64 * 1024;

/** The version that the first line of a connection carries. */
export const LINES_VERSION = 1;

export type JsonObject = Readonly<Record<string, unknown>>;

/** A field that should be text; anything else counts as absent. */
export function textField(object: JsonObject, name: string, otherwise = ''): string {
  const value = object[name];
  return typeof value === 'string' ? value : otherwise;
}

/** A request that was refused: `reason` is one word for programs, `message` a sentence for people. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Calls `take` with each object that the peer sends. A line that is too long, or is no object, ends the connection. */
export function readObjects(socket: Socket, take: (object: JsonObject) => void): void {
  const lines = lineSplitter(MAX_LINE_BYTES);
  socket.on('data', (chunk: Buffer) => {
    const complete = lines.push(chunk);
    if (complete === undefined)
      return socket.destroy(new Error(`the peer sent a line of over ${MAX_LINE_BYTES} bytes`));
    for (const line of complete) {
      const object = parseObject(line);
      if (object === undefined) return socket.destroy(new Error('the peer sent a line that is no JSON object'));
      if (!socket.destroyed) take(object);
    }
    return undefined;
  });
}

export function writeObject(socket: Socket, object: JsonObject): void {
  if (!socket.destroyed) socket.write(`${JSON.stringify(object)}\n`);
}

function parseObject(line: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}
