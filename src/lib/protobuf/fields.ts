import { message, type Field, type MessageType } from './message.ts';
import { MalformedMessage, WIRE, type Reader, type Writer } from './wire.ts';

/** The kinds of fields that our messages have. Of a field that comes twice the last value counts. */

export function text(number: number): Field<string, string> {
  return {
    number,
    wireType: WIRE.bytes,
    zero: '',
    write(to, value) {
      if (value !== '') writeText(to, number, value);
    },
    read: (from) => from.text(),
  };
}

export function bool(number: number): Field<boolean, boolean> {
  return {
    number,
    wireType: WIRE.varint,
    zero: false,
    write(to, value) {
      if (value) writeNumber(to, number, 1);
    },
    read: (from) => from.varint() !== 0n,
  };
}

/** `int32`; of more bits only the lowest count. */
export function int32(number: number): Field<number, number> {
  return integer(number, (value) => BigInt.asIntN(32, value));
}

/** `int64`, as far as a number of JavaScript holds it. */
export function int64(number: number): Field<number, number> {
  return integer(number, (value) => BigInt.asIntN(64, value));
}

function integer(number: number, narrow: (value: bigint) => bigint): Field<number, number> {
  return {
    number,
    wireType: WIRE.varint,
    zero: 0,
    write(to, value) {
      if (value !== 0) writeNumber(to, number, value);
    },
    read(from) {
      const value = Number(narrow(from.varint()));
      if (!Number.isSafeInteger(value)) throw new MalformedMessage('a number is beyond 2^53');
      return value;
    },
  };
}

export function nested<In, Out>(number: number, type: MessageType<In, Out>): Field<In | undefined, Out | undefined> {
  return {
    number,
    wireType: WIRE.bytes,
    zero: undefined,
    write(to, value) {
      if (value !== undefined) writeBytes(to, number, type.encode(value));
    },
    read: (from) => type.decode(from.bytes()),
  };
}

export const texts = (number: number): Field<readonly string[], readonly string[]> =>
  repeated(number, writeText, (from) => from.text());

export const nestedList = <In, Out>(number: number, type: MessageType<In, Out>): Field<readonly In[], readonly Out[]> =>
  repeated(
    number,
    (to, field, value) => writeBytes(to, field, type.encode(value)),
    (from) => type.decode(from.bytes()),
  );

/** `map<string, string>`: on the wire a list of entries, of which the last with a key counts. */
export function textMap(number: number): Field<ReadonlyMap<string, string>, ReadonlyMap<string, string>> {
  const entries = nestedList(number, message({ key: text(1), value: text(2) }));
  return {
    number,
    wireType: entries.wireType,
    zero: new Map(),
    write: (to, map) =>
      entries.write(
        to,
        [...map].map(([key, value]) => ({ key, value })),
      ),
    read(from, before) {
      const [entry] = entries.read(from, entries.zero);
      return entry === undefined ? before : new Map(before).set(entry.key, entry.value);
    },
  };
}

/** Every element is written, also an empty one. */
function repeated<In, Out>(
  number: number,
  writeOne: (to: Writer, number: number, value: In) => void,
  readOne: (from: Reader) => Out,
): Field<readonly In[], readonly Out[]> {
  const nothing: Out[] = [];
  return {
    number,
    wireType: WIRE.bytes,
    zero: nothing,
    write(to, values) {
      for (const value of values) writeOne(to, number, value);
    },
    read(from, before) {
      const list = before === nothing ? [] : (before as Out[]); // Ours since its first element: it may grow in place.
      list.push(readOne(from));
      return list;
    },
  };
}

function writeText(to: Writer, number: number, value: string): void {
  to.tag(number, WIRE.bytes);
  to.text(value);
}

function writeBytes(to: Writer, number: number, value: Uint8Array): void {
  to.tag(number, WIRE.bytes);
  to.bytes(value);
}

function writeNumber(to: Writer, number: number, value: number): void {
  to.tag(number, WIRE.varint);
  to.varint(BigInt(value));
}
