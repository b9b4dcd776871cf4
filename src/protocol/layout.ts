import type { Call, Field, FieldType, Shape } from './call-shape.ts';

interface Placed extends Field {
  readonly offset: number;
}

/** A message's fixed part as bytes: where each field lies, and the size, a multiple of 8. */
export interface Layout {
  readonly fields: readonly Placed[];
  /** Where the u32 with the exact length of the tail lies; undefined without a tail. */
  readonly tailLengthAt: number | undefined;
  readonly bytes: number;
}

/** One struct of the wire: a call, or the reply to one. */
export interface Message {
  readonly name: string;
  readonly call: Call;
  readonly isReply: boolean;
  readonly shape: Shape;
}

const sizes: Readonly<Record<FieldType, readonly [bytes: number, align: number]>> = {
  u32: [4, 4],
  i32: [4, 4],
  f32: [4, 4],
  u64: [8, 8],
  u32x3: [12, 4],
  i32x16: [64, 4],
  u8x16: [16, 1],
  u8x32: [32, 1],
  u8x128: [128, 1],
};

const replyHead: readonly Field[] = [
  { name: 'reply_to', type: 'u64' },
  { name: 'result', type: 'u32' },
];

const up = (value: number, align: number): number => Math.ceil(value / align) * align;

/** Places fields one after the other at their natural alignment, the tail's length last. */
export function layoutOf(shape: Shape): Layout {
  let end = 0;
  const place = (type: FieldType): number => {
    const [bytes, align] = sizes[type];
    const offset = up(end, align);
    end = offset + bytes;
    return offset;
  };
  const placed = shape.fields.map((field) => ({ ...field, offset: place(field.type) }));
  const tailLengthAt = shape.tail === undefined ? undefined : place('u32');
  return { fields: placed, tailLengthAt, bytes: up(end, 8) };
}

/** Every struct of the wire. Each reply begins with the sequence it answers and its CUresult. */
export function messagesOf(calls: readonly Call[]): readonly Message[] {
  return calls.flatMap((call) => {
    const message: Message = { name: call.name, call, isReply: false, shape: call };
    if (call.reply === undefined) return [message];
    const shape: Shape = { ...call.reply, fields: [...replyHead, ...call.reply.fields] };
    return [message, { name: `${call.name}Reply`, call, isReply: true, shape }];
  });
}

/** What is wrong with a table, in words; empty when nothing is. */
export function problemsOf(calls: readonly Call[]): readonly string[] {
  const seen = new Set<string | number>();
  const twice = calls.flatMap(({ name, number }) => {
    const problems = [name, number].filter((key) => seen.has(key)).map((key) => `${name}: ${key} is used twice`);
    seen.add(name).add(number);
    return problems;
  });
  const unknown = messagesOf(calls).flatMap(({ name, shape }) =>
    shape.fields
      .filter(({ type }) => !(type in sizes))
      .map((field) => `${name}.${field.name}: unknown type ${field.type}`),
  );
  const misplaced = calls
    .filter(
      (call) =>
        (call.kind === 'push') !== call.number >= 0x8000 || (call.kind === 'request') !== (call.reply !== undefined),
    )
    .map((call) => `${call.name}: a push has a number of 0x8000 or more, a request a reply`);
  return [...twice, ...unknown, ...misplaced];
}
