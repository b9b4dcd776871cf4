/** The wire format of Protocol Buffers: what a message is made of, below its schema. */

/** Bytes of a peer that are not the message they should be. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage';
}

/** How the value behind a tag is laid out (protobuf.dev, "Encoding"). Groups (3, 4) are gone since proto3. */
export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

export type WireType = (typeof WIRE)[keyof typeof WIRE];

const MAX_VARINT_BYTES = 10; // 64 bits, seven a byte.
const TEXT = new TextEncoder();
const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export interface Writer {
  tag(field: number, wireType: WireType): void;
  varint(value: bigint): void;
  bytes(value: Uint8Array): void;
  text(value: string): void;
  finish(): Uint8Array;
}

export function writer(): Writer {
  let buffer = new Uint8Array(64);
  let length = 0;

  const room = (bytes: number): void => {
    if (length + bytes <= buffer.length) return;
    const larger = new Uint8Array(Math.max(2 * buffer.length, length + bytes));
    larger.set(buffer);
    buffer = larger;
  };
  const small = (value: number): void => {
    room(MAX_VARINT_BYTES);
    let rest = value;
    for (; rest > 0x7f; rest = Math.floor(rest / 128)) buffer[length++] = (rest % 128) | 0x80;
    buffer[length++] = rest;
  };
  const bytes = (value: Uint8Array): void => {
    small(value.length);
    room(value.length);
    buffer.set(value, length);
    length += value.length;
  };
  return {
    tag: (field, wireType) => small(field * 8 + wireType),
    varint(value) {
      room(MAX_VARINT_BYTES);
      let rest = BigInt.asUintN(64, value);
      for (; rest > 0x7fn; rest >>= 7n) buffer[length++] = Number(rest & 0x7fn) | 0x80;
      buffer[length++] = Number(rest);
    },
    bytes,
    text: (value) => bytes(TEXT.encode(value)),
    finish: () => buffer.slice(0, length),
  };
}

/** Reads from bytes that anyone may have sent: every method throws `MalformedMessage` where they are not what they say. */
export interface Reader {
  readonly atEnd: boolean;
  tag(): { readonly field: number; readonly wireType: number };
  varint(): bigint;
  bytes(): Uint8Array;
  text(): string;
  /** Passes over the value of a field that nobody here knows. */
  skip(wireType: number): void;
}

export function reader(input: Uint8Array): Reader {
  let at = 0;

  const varint = (): bigint => {
    let value = 0n;
    for (let i = 0; i < MAX_VARINT_BYTES; i++) {
      const byte = input[at++];
      if (byte === undefined) throw new MalformedMessage('it ends within a number');
      value |= BigInt(byte & 0x7f) << BigInt(7 * i);
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new MalformedMessage('a number has more than 64 bits');
  };
  const take = (length: number): Uint8Array => {
    if (length > input.length - at) throw new MalformedMessage('it ends within a field');
    at += length;
    return input.subarray(at - length, at);
  };
  const bytes = (): Uint8Array => take(Number(varint()));
  return {
    get atEnd() {
      return at >= input.length;
    },
    tag() {
      const tag = Number(varint());
      if (tag < 8 || tag > 0xffff_ffff) throw new MalformedMessage('a field has an impossible number');
      return { field: Math.floor(tag / 8), wireType: tag % 8 };
    },
    varint,
    bytes,
    text: () => textOf(bytes()),
    skip(wireType) {
      if (wireType === WIRE.varint) varint();
      else if (wireType === WIRE.fixed64) take(8);
      else if (wireType === WIRE.bytes) bytes();
      else if (wireType === WIRE.fixed32) take(4);
      else throw new MalformedMessage(`a field has wire type ${wireType}, which is none`);
    },
  };
}

function textOf(bytes: Uint8Array): string {
  try {
    return STRICT.decode(bytes);
  } catch {
    throw new MalformedMessage('a text is not UTF-8');
  }
}
