import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { bool, int32, int64, nested, nestedList, text, textMap, texts } from './fields.ts';
import { message } from './message.ts';
import { MalformedMessage } from './wire.ts';

/** The same message for our codec and for an independent one. */
const Part = message({ name: text(1), ok: bool(2) });
const Whole = message({
  title: text(1),
  count: int32(2),
  size: int64(3),
  names: texts(4),
  part: nested(5, Part),
  parts: nestedList(16, Part),
  labels: textMap(17),
});
const { root } = protobuf.parse(`syntax = "proto3"; package test;
  message Part { string name = 1; bool ok = 2; }
  message Whole { string title = 1; int32 count = 2; int64 size = 3; repeated string names = 4; Part part = 5;
                  repeated Part parts = 16; map<string, string> labels = 17; }`);
const theirs = root.lookupType('test.Whole');

const anyText = fc.string({ unit: 'grapheme', maxLength: 300 });
const anyPart = fc.record({ name: anyText, ok: fc.boolean() });
const anyWhole = fc.record({
  title: anyText,
  count: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  size: fc.maxSafeInteger(),
  names: fc.array(anyText),
  part: fc.option(anyPart, { nil: undefined }),
  parts: fc.array(anyPart),
  labels: fc.array(fc.tuple(anyText, anyText)).map((entries) => new Map(entries)),
});

const plain = (bytes: Uint8Array): unknown => {
  const object = theirs.toObject(theirs.decode(bytes), { defaults: true, longs: Number });
  return { ...object, part: object['part'] ?? undefined, labels: new Map(Object.entries(object['labels'] as object)) };
};

test('what is written is read by another codec, and by this one', () => {
  fc.assert(
    fc.property(anyWhole, (value) => {
      const bytes = Whole.encode(value);
      expect(Whole.decode(bytes)).toEqual(value);
      if (!value.labels.has('__proto__')) expect(plain(bytes)).toEqual(value);
    }),
  );
});

test('what another codec writes is read', () => {
  fc.assert(
    fc.property(anyWhole, (value) => {
      const { labels, part, ...rest } = value;
      const input = { ...rest, ...(part === undefined ? {} : { part }), labels: Object.fromEntries(labels) };
      expect(Whole.decode(theirs.encode(theirs.fromObject(input)).finish())).toEqual(value);
    }),
  );
});

test('any bytes at all are a message or malformed, and nothing else happens', () => {
  const decode = (bytes: Uint8Array): void => {
    try {
      Whole.decode(bytes);
    } catch (error) {
      expect(error).toBeInstanceOf(MalformedMessage);
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), decode));
  fc.assert(
    fc.property(anyWhole, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, at, flip) => {
      const bytes = Whole.encode(value);
      if (bytes.length > 0) bytes[at % bytes.length]! ^= flip;
      decode(bytes);
      decode(bytes.subarray(0, at % (bytes.length + 1)));
    }),
  );
});

test('fields of a newer version are passed over', () => {
  const Newer = message({ title: text(1), more: nested(99, Part), other: int64(100) });
  const bytes = Newer.encode({ title: 'kept', more: { name: 'new' }, other: -1 });
  expect(Whole.decode(bytes).title).toBe('kept');
});

test.each([
  ['it ends within a number', [0x10, 0x80]],
  ['a number has more than 64 bits', [0x10, ...Array<number>(10).fill(0x80), 1]],
  ['it ends within a field', [0x0a, 5, 0x61]],
  ['a field has an impossible number', [0x02, 0]],
  ['title has the wrong type', [0x08, 1]],
  ['a text is not UTF-8', [0x0a, 1, 0xff]],
  ['a number is beyond 2^53', [0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]],
  ['a field has wire type 3, which is none', [0xa3, 0x06]],
])('%s', (reason, bytes) => {
  expect(() => Whole.decode(Uint8Array.from(bytes))).toThrow(new MalformedMessage(reason));
});
