import { MalformedMessage, reader, writer, type Reader, type WireType, type Writer } from './wire.ts';

/**
 * One field of a message. `In` is what may be given to be written, `Out` what reading gives: as proto3 has it, a field
 * that is not there reads as its zero value.
 */
export interface Field<In, Out> {
  readonly number: number;
  readonly wireType: WireType;
  readonly zero: Out;
  /** Writes the field with its tag; nothing where the value is the zero value. */
  write(to: Writer, value: In): void;
  /** Reads one value and gives what the field holds with it. */
  read(from: Reader, before: Out): Out;
}

type Fields = Readonly<Record<string, Field<never, unknown>>>;
type InputOf<F extends Fields> = { readonly [K in keyof F]?: F[K] extends Field<infer In, unknown> ? In : never };
type OutputOf<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<never, infer Out> ? Out : never };

export interface MessageType<In, Out> {
  encode(value: In): Uint8Array;
  /** @throws MalformedMessage */
  decode(bytes: Uint8Array): Out;
}

export type Input<M> = M extends MessageType<infer In, unknown> ? In : never;
export type Output<M> = M extends MessageType<never, infer Out> ? Out : never;

/** A message with these fields. What a peer sends beside them is passed over. */
export function message<F extends Fields>(fields: F): MessageType<InputOf<F>, OutputOf<F>> {
  const entries = Object.entries(fields) as [string, Field<unknown, unknown>][];
  const byNumber = new Map(entries.map(([key, field]) => [field.number, { key, field }]));
  return {
    encode(value) {
      const to = writer();
      for (const [key, field] of entries) {
        const given: unknown = Reflect.get(value, key);
        if (given !== undefined) field.write(to, given);
      }
      return to.finish();
    },
    decode(bytes) {
      const from = reader(bytes);
      const held = new Map(entries.map(([key, field]) => [key, field.zero]));
      while (!from.atEnd) {
        const tag = from.tag();
        const known = byNumber.get(tag.field);
        if (known === undefined) from.skip(tag.wireType);
        else if (known.field.wireType !== tag.wireType) throw new MalformedMessage(`${known.key} has the wrong type`);
        else held.set(known.key, known.field.read(from, held.get(known.key)));
      }
      return Object.fromEntries(held) as OutputOf<F>;
    },
  };
}
