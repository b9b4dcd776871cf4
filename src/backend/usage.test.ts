import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readLedgers } from './ledger-directory.ts';
import { countersOf, readLedger } from './ledger.ts';
import { claimUsage, nextSample, noUsage } from './usage.ts';

const SESSION = '00112233445566778899aabbccddeeff';

/** A ledger as a worker writes it (native/worker/README.md), with one session in row `row`. */
function ledgerBytes({ row = 0, busyNs = 0n, memoryBytes = 0n } = {}): Buffer {
  const bytes = Buffer.alloc(256 + 256 * 128);
  bytes.write('AQLEDGR1', 'latin1');
  bytes.writeUInt32LE(1, 8);
  bytes.writeUInt32LE(256, 12);
  bytes.writeBigUInt64LE(2n ** 31n, 16);
  bytes.writeUInt32LE(30, 24);
  bytes.writeBigUInt64LE(memoryBytes, 32);
  const at = 256 + row * 128;
  bytes.writeUInt32LE(4711, at);
  bytes.writeBigUInt64LE(99n, at + 8);
  bytes.write(SESSION, at + 16, 'hex');
  bytes.writeBigUInt64LE(memoryBytes, at + 32);
  bytes.writeBigUInt64LE(busyNs, at + 40);
  bytes.writeBigUInt64LE(7n, at + 48);
  return bytes;
}

describe('readLedger', () => {
  test('reads limits and the rows that are in use', () => {
    expect(readLedger(ledgerBytes({ row: 200, busyNs: 5n, memoryBytes: 4096n }))).toMatchObject({
      limitBytes: 2 ** 31,
      computePercent: 30,
      grantedBytes: 4096,
      rows: [{ pid: 4711, pidStartTime: 99n, session: SESSION, memoryBytes: 4096, busyNs: 5n, launches: 7n }],
    });
  });

  test.each([
    ['another magic', 0, 0x42],
    ['a newer version', 8, 2],
    ['more rows than the file has', 13, 2],
  ])('does not read %s', (_, at, value) => {
    const bytes = ledgerBytes();
    bytes.writeUInt8(value, at);
    expect(readLedger(bytes)).toBeUndefined();
  });

  test('does not throw, whatever the bytes are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (tail) => {
        const bytes = Buffer.concat([ledgerBytes().subarray(0, 12), Buffer.from(tail)]);
        readLedger(bytes);
      }),
    );
  });
});

describe('what ended sessions did', () => {
  /** An account with a session in row 3 that made 7 launches, after others that made 100. */
  function account({ taken, row }: { readonly taken: bigint; readonly row: bigint }): Buffer {
    const bytes = ledgerBytes({ row: 3 });
    bytes.writeBigUInt64LE(taken, 40);
    const copy = 64 + 64 * Number(taken % 2n);
    bytes.writeBigUInt64LE(100n, copy + 8);
    bytes.writeBigUInt64LE(row, copy + 56);
    return bytes;
  }
  const launches = (bytes: Buffer) => {
    const ledger = readLedger(bytes);
    return ledger && countersOf(ledger).launches;
  };

  test.each([0n, 1n, 2n])('counts with what the living do (copy of number %d)', (taken) => {
    expect(launches(account({ taken, row: 0n }))).toBe(107n);
  });

  test('has a row that is not free yet, which counts no second time', () => {
    expect(launches(account({ taken: 5n, row: 4n }))).toBe(100n);
    expect(launches(account({ taken: 5n, row: 5n }))).toBe(107n);
  });

  test('is read from a directory in which there may be anything', () => {
    const directory = mkdtempSync(join(tmpdir(), 'aq-ledgers-'));
    const uid = '00000000-0000-4000-8000-00000000000';
    writeFileSync(join(directory, `${uid}0-GPU-1`), account({ taken: 1n, row: 0n }));
    mkdirSync(join(directory, `${uid}1-GPU-1`));
    symlinkSync('/dev/zero', join(directory, `${uid}2-GPU-1`));
    execFileSync('mkfifo', [join(directory, `${uid}3-GPU-1`)]);
    writeFileSync(join(directory, `${uid}4-GPU-1`), 'short');
    expect(readLedgers(directory)).toMatchObject([{ claimUid: `${uid}0`, gpu: 'GPU-1' }]);
    rmSync(directory, { recursive: true });
  });
});

describe('usage', () => {
  const ledgers = (busyNs: bigint) => {
    const ledger = readLedger(ledgerBytes({ busyNs, memoryBytes: 4096n }));
    return ledger === undefined ? [] : [{ claimUid: 'uid', gpu: 'GPU-1', ledger }];
  };

  test('is the share of the time between two samples that the GPU was busy', () => {
    const first = nextSample(noUsage, ledgers(100_000_000n), 10_000);
    expect(first.sessions[0]?.utilizationPercent).toBe(0);
    const second = nextSample(first, ledgers(400_000_000n), 11_000);
    expect(second.sessions[0]?.utilizationPercent).toBeCloseTo(30);
    expect(claimUsage(second, 'uid', 'GPU-1')).toEqual({ usedBytes: 4096, utilizationPercent: 30 });
    expect(claimUsage(second, 'uid', 'GPU-2')).toEqual({ usedBytes: 0, utilizationPercent: 0 });
  });

  test('is never beyond 100 % nor below nothing', () => {
    const first = nextSample(noUsage, ledgers(5_000_000_000n), 10_000);
    expect(nextSample(first, ledgers(9_000_000_000n), 11_000).sessions[0]?.utilizationPercent).toBe(100);
    expect(nextSample(first, ledgers(0n), 11_000).sessions[0]?.utilizationPercent).toBe(0);
  });
});
