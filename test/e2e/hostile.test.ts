import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { NetConnectOpts } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { claim, POOL, sessionsOf } from '../support/objects.ts';
import { startServe, workersOf, type Serve } from '../support/serve.ts';
import { compileSessionProgram, startSession, type SessionProgram } from '../support/session-program.ts';
import { connected, framed, noise, say } from '../support/strangers.ts';

const MANIFEST = [POOL, claim('trainer', '512Mi', 60)].join('---\n');
const MIB = 2 ** 20;
/** A stranger is given five seconds to say who it is; the rest is for a busy machine. */
const PATIENCE_MS = 20_000;

const SOCKETS = ['api', 'backend', 'spawner', 'connector', 'gateway', 'gateway over TCP', 'session'] as const;
type SocketName = (typeof SOCKETS)[number];

let serve: Serve;
let directory: string;
let program: string;
let bystander: SessionProgram;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'aq-hostile-'));
  program = compileSessionProgram(directory);
  serve = await startServe();
  expect(await serve.cli(['apply', '-f', '-'], { stdin: MANIFEST })).toMatchObject({ code: 0, stderr: '' });
  bystander = await startSession(serve, program, ['--claim', 'trainer']);
}, 60_000);

afterAll(async () => {
  expect((await bystander.end()).code).toBe(0);
  await serve[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

/** Whatever was done, a program that runs meanwhile is not disturbed, and all that could be asked before can be asked. */
afterEach(async () => {
  expect(await bystander.ask('histogram')).toBe('ok');
  await eventually(
    async () => [workersOf(serve.dataDir).length, (await sessionsOf(serve)).length],
    (now) => now.every((count) => count === 1),
  );
}, 60_000);

function where(name: SocketName): NetConnectOpts {
  const run = join(serve.dataDir, 'run');
  if (name === 'session') return { path: join(run, 'sockets/default.trainer.sock') };
  if (name !== 'gateway over TCP') return { path: join(run, `${name}.sock`) };
  const [address = ''] = recordOf('gateway').listen ?? [];
  const [, host, port] = /^(.*):(\d+)$/.exec(address) ?? [];
  return { host: host ?? '', port: Number(port) };
}

test.each(SOCKETS)(
  'noise on the %s socket is answered with an error at most, and leaves nothing behind',
  async (name) => {
    const before = residentBytes();
    for (let round = 0; round < 40; round += 1) {
      // A line is complete at its end, a frame after its length: both beginnings lead further than plain noise.
      const bytes = noise(round * 7919 + 17, 4096);
      if (round % 4 === 1) bytes.writeUInt32LE(64, 0);
      if (round % 4 === 2) bytes[bytes.length - 1] = 10;
      if (round % 4 === 3) bytes.set(Buffer.from(round % 8 === 3 ? 'AQFDATA1' : '\x16\x03\x01'));
      const { bytes: answer } = await say(where(name), bytes, 20);
      expect(answer.includes('"ok":true')).toBe(false);
    }
    expectBounded(before);
  },
  60_000,
);

test.each(['gateway', 'gateway over TCP', 'session'] as const)(
  'a stranger that says half of its greeting on the %s socket is sent away in time',
  async (name) => {
    const halves = [
      framed({ v: 1, purpose: 'session' }).subarray(0, 10),
      Buffer.from('AQFDATA1half'),
      Buffer.from([0x16, 3, 1]),
    ];
    const heard = await Promise.all(halves.map((half) => say(where(name), half, PATIENCE_MS)));
    expect(heard.map(({ closed }) => closed)).toEqual([true, true, true]);
  },
  60_000,
);

test.each([0, 2, 4_000_000_000, -1, 1.5, '1', undefined])(
  'a program that speaks version %p is told so',
  async (v) => {
    const message = { v, protocol: '1.0', purpose: 'session', program: 'old' };
    const { closed, bytes } = await say(where('session'), framed(message), PATIENCE_MS);
    expect(closed).toBe(true);
    const reply = JSON.parse(bytes.subarray(4).toString()) as { ok: boolean; reason: string; message: string };
    expect(reply.ok).toBe(false);
    expect(reply).toMatchObject(
      v === 0 || v === 2 || v === 4_000_000_000
        ? { reason: 'ProtocolMismatch', message: expect.stringContaining(`version ${v}, this connector 1`) }
        : { reason: 'BadRequest' },
    );
  },
  60_000,
);

test.each(['backend', 'spawner', 'connector'] as const)(
  'older and newer peers on the %s socket are told both versions',
  async (name) => {
    for (const v of [0, 2]) {
      const { bytes } = await say(where(name), `${JSON.stringify({ id: 1, op: 'hello', v, name: 'old' })}\n`, 2000);
      const [line = ''] = bytes.toString().split('\n');
      const reply = JSON.parse(line) as { reason: string; message: string };
      expect(reply.reason).toBe('ProtocolMismatch');
      expect(reply.message).toContain(String(v));
      expect(reply.message).toContain('1');
    }
  },
  60_000,
);

test.each(SOCKETS)(
  'a flood without an end on the %s socket is cut off and does not fill memory',
  async (name) => {
    const before = residentBytes();
    const socket = await connected(where(name));
    const piece = Buffer.alloc(MIB, 0x20);
    let sent = 0;
    // What nobody reads stays in the kernel's buffer and in ours: both are bounded, so there is nothing to wait for then.
    while (!socket.destroyed && sent < 64) {
      sent += 1;
      const accepted = await new Promise<boolean>((resolve) => {
        const timer = setTimeout(() => resolve(false), 1000);
        socket.write(piece, () => {
          clearTimeout(timer);
          resolve(true);
        });
      });
      if (!accepted) break;
    }
    expect(sent).toBeLessThan(64);
    socket.destroy();
    expectBounded(before);
  },
  60_000,
);

test.each(SOCKETS)(
  'hundreds of idle connections to the %s socket keep nobody else out',
  async (name) => {
    const idle = await Promise.all(Array.from({ length: 300 }, () => connected(where(name))));
    try {
      expect(await bystander.ask('echo')).toBe('ok');
      await eventually(
        () => serve.cli(['run', '--claim', 'trainer', '--', 'true']),
        ({ code }) => code === 0,
      );
    } finally {
      for (const socket of idle) socket.destroy();
    }
  },
  60_000,
);

interface RunRecord {
  readonly pid: number;
  readonly listen?: readonly string[];
}

function recordOf(name: string): RunRecord {
  return JSON.parse(readFileSync(join(serve.dataDir, 'run', `${name}.json`), 'utf8')) as RunRecord;
}

/** What the product's processes hold in memory, by name. */
function residentBytes(): Readonly<Record<string, number>> {
  const pids = ['gateway', 'spawner', 'connector'].map((name) => [name, recordOf(name).pid] as const);
  const all = [
    ...pids,
    ['serve', serve.pid] as const,
    ...workersOf(serve.dataDir).map((pid) => ['worker', pid] as const),
  ];
  return Object.fromEntries(
    all.map(([name, pid]) => {
      const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
      return [name, Number(kib) * 1024];
    }),
  );
}

/** Native processes may grow by a few connections' buffers; serve is garbage-collected, and may by more. */
function expectBounded(before: Readonly<Record<string, number>>): void {
  for (const [name, bytes] of Object.entries(residentBytes())) {
    const grown = bytes - (before[name] ?? 0);
    expect({ name, grown: grown < (name === 'serve' ? 96 : 16) * MIB }).toEqual({ name, grown: true });
  }
}
