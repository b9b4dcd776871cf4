import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { calls } from '../src/protocol/calls.ts';
import { layoutOf, messagesOf, type Message } from '../src/protocol/layout.ts';

/** Writes what the fuzzers of native/fuzz begin with: one well-formed input of each sort, so that they need not find it. */

const CORPUS = join(import.meta.dirname, '../native/fuzz/corpus');
const HEADER_BYTES = 24;
const REPLY = 1;

function frame({ call, isReply, shape }: Message): Buffer {
  const { bytes, tailLengthAt } = layoutOf(shape);
  const tail = Buffer.from(tailLengthAt === undefined ? '' : 'tail of 16 bytes');
  const body = Buffer.alloc(bytes + tail.length, 0);
  tail.copy(body, bytes);
  if (tailLengthAt !== undefined) body.writeUInt32LE(tail.length, tailLengthAt);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(HEADER_BYTES + body.length, 0);
  header.writeUInt16LE(call.number, 4);
  header.writeUInt16LE(isReply ? REPLY : 0, 6);
  return Buffer.concat([header, body]);
}

const framed = (text: string): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(text));
  return Buffer.concat([length, Buffer.from(text)]);
};

/** A fat binary of one entry of PTX, as images come: `cut` says where the first byte's piece ends. */
function fatBinary(ptx: Buffer): Buffer {
  const entry = Buffer.alloc(64);
  entry.writeUInt16LE(1, 0);
  entry.writeUInt32LE(64, 4);
  entry.writeUInt32LE(ptx.length, 8);
  entry.writeUInt32LE(80, 28);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(0xba55ed50, 0);
  header.writeUInt16LE(1, 4);
  header.writeUInt16LE(16, 6);
  header.writeUInt32LE(entry.length + ptx.length, 8);
  return Buffer.concat([header, entry, ptx]);
}

const read = (path: string): Buffer => readFileSync(join(import.meta.dirname, '..', path));

interface Vectors {
  readonly tickets: readonly { readonly ticket: string }[];
}

function seeds(): Readonly<Record<string, readonly (Buffer | string)[]>> {
  const messages = messagesOf(calls);
  const toWorker = messages.filter((it) => !it.isReply && it.call.kind !== 'push');
  const toClient = messages.filter((it) => it.isReply || it.call.kind === 'push');
  const { tickets } = JSON.parse(read('test/fixtures/tickets.json').toString()) as Vectors;
  const [valid] = tickets;
  const payload = Buffer.from(valid?.ticket.split('.')[1] ?? '', 'base64url');
  const kernels = ['examples/kernels/histogram.ptx', 'examples/kernels/matmul.ptx'].map(read);
  const file = {
    apiVersion: 'aquifer.dev/v1alpha1',
    kind: 'Ticket',
    metadata: { name: 'trainer', namespace: 'default' },
    ca: 'pem',
    endpoints: [
      { node: 'gpu-1', address: '127.0.0.1:9960' },
      { node: 'gpu-1', address: 'unix:/run/g.sock' },
    ],
    ticket: valid?.ticket,
  };
  const preamble = Buffer.concat([Buffer.from('AQFDATA1'), Buffer.alloc(32, 7), Buffer.alloc(8)]);
  return {
    protocol_requests: [Buffer.concat(toWorker.map(frame)), ...toWorker.filter((it) => it.call.bulk).map(frame)],
    protocol_pushes: [Buffer.concat(toClient.map(frame)), ...toClient.filter((it) => it.call.bulk).map(frame)],
    session_socket: [
      framed('{"v":1,"protocol":"1.0","purpose":"session","program":"./train"}'),
      framed('{"v":1,"protocol":"1.0","purpose":"inspect","program":""}'),
      framed('{"ok":true,"session":"00","secret":"00","transport":"tls","keySpki":"AA=="}'),
      framed('{"ok":false,"reason":"TicketExpired","message":"it expired"}'),
    ],
    control_lines: [
      '{"op":"hello","v":1,"name":"gateway","version":"0"}\n{"id":2,"ok":true}\n',
      '{"id":3,"ok":false,"reason":"NotFound","message":"no"}\n\n{"event":"ended"}\n',
    ],
    ticket: [payload, ...tickets.map(({ ticket }) => ticket)],
    ticket_file: [JSON.stringify(file)],
    preamble: [preamble, '000102030405060708090a0b0c0d0e0f'],
    certificate: [Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.alloc(32, 7)]), certificate()],
    image: kernels.flatMap((ptx) =>
      [ptx, fatBinary(ptx), Buffer.from('\x7fELF')].map((it) => Buffer.concat([Buffer.from([128]), it])),
    ),
    ptx: kernels,
  };
}

/** The skeleton of a certificate, up to the end of its validity. */
function certificate(): Buffer {
  const element = (tag: number, ...contents: readonly Buffer[]): Buffer => {
    const body = Buffer.concat(contents);
    return Buffer.concat([Buffer.from([tag, body.length]), body]);
  };
  const time = element(0x17, Buffer.from('270101000000Z'));
  const parts = [
    element(0xa0, element(2, Buffer.from([2]))),
    element(2, Buffer.from([1])),
    element(0x30),
    element(0x30),
  ];
  return element(0x30, element(0x30, ...parts, element(0x30, time, time)));
}

for (const [target, inputs] of Object.entries(seeds())) {
  const directory = join(CORPUS, target);
  mkdirSync(directory, { recursive: true });
  // What fuzzers have found lies beside the seeds and stays.
  for (const old of readdirSync(directory).filter((name) => name.startsWith('seed-'))) rmSync(join(directory, old));
  for (const [index, input] of inputs.entries()) {
    writeFileSync(join(directory, `seed-${String(index).padStart(2, '0')}`), input);
  }
}
