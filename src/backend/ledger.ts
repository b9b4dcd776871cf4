/** What a session used of one GPU, as its worker counts it. */
export interface LedgerRow {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat: tells a process from a later one with its number. */
  readonly pidStartTime: bigint;
  /** 32 hexadecimal digits. */
  readonly session: string;
  readonly memoryBytes: number;
  readonly busyNs: bigint;
  readonly launches: bigint;
  readonly bytesIn: bigint;
  readonly bytesOut: bigint;
  readonly roundTrips: bigint;
  readonly faults: bigint;
  readonly notSupportedCalls: bigint;
}

/** The account of one claim on one GPU. */
export interface Ledger {
  readonly limitBytes: number;
  readonly computePercent: number;
  readonly grantedBytes: number;
  /** One for each session that lives, in no order. */
  readonly rows: readonly LedgerRow[];
}

const MAGIC = 'AQLEDGR1';
const VERSION = 1;
const FIRST_ROW = 256;
const ROW_BYTES = 128;
const MAX_ROWS = 4096;

/**
 * Reads the file that workers write (native/worker/README.md). It may change while it is read: each number is whole, but
 * two numbers may be of two moments. Undefined if the bytes are no ledger of this version.
 */
export function readLedger(bytes: Buffer): Ledger | undefined {
  if (bytes.length < FIRST_ROW || bytes.toString('latin1', 0, 8) !== MAGIC) return undefined;
  if (bytes.readUInt32LE(8) !== VERSION) return undefined;
  const count = bytes.readUInt32LE(12);
  if (count > MAX_ROWS || bytes.length < FIRST_ROW + count * ROW_BYTES) return undefined;
  const places = Array.from({ length: count }, (_, i) => FIRST_ROW + i * ROW_BYTES);
  return {
    limitBytes: Number(bytes.readBigUInt64LE(16)),
    computePercent: bytes.readUInt32LE(24),
    grantedBytes: Number(bytes.readBigUInt64LE(32)),
    rows: places.filter((at) => bytes.readUInt32LE(at) !== 0).map((at) => readRow(bytes, at)),
  };
}

const readRow = (bytes: Buffer, at: number): LedgerRow => ({
  pid: bytes.readUInt32LE(at),
  pidStartTime: bytes.readBigUInt64LE(at + 8),
  session: bytes.toString('hex', at + 16, at + 32),
  memoryBytes: Number(bytes.readBigUInt64LE(at + 32)),
  busyNs: bytes.readBigUInt64LE(at + 40),
  launches: bytes.readBigUInt64LE(at + 48),
  bytesIn: bytes.readBigUInt64LE(at + 56),
  bytesOut: bytes.readBigUInt64LE(at + 64),
  roundTrips: bytes.readBigUInt64LE(at + 72),
  faults: bytes.readBigUInt64LE(at + 80),
  notSupportedCalls: bytes.readBigUInt64LE(at + 88),
});
