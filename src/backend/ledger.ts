/** What sessions did with one GPU; each number only grows. */
export interface Counters {
  /** Time in which the GPU ran their kernels. */
  readonly busyNs: bigint;
  readonly launches: bigint;
  readonly bytesIn: bigint;
  readonly bytesOut: bigint;
  readonly roundTrips: bigint;
  readonly faults: bigint;
  readonly notSupportedCalls: bigint;
}

/** What a session used of one GPU, as its worker counts it. */
export interface LedgerRow extends Counters {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat: tells a process from a later one with its number. */
  readonly pidStartTime: bigint;
  /** 32 hexadecimal digits. */
  readonly session: string;
  readonly memoryBytes: number;
}

/** The account of one claim on one GPU. */
export interface Ledger {
  readonly limitBytes: number;
  readonly computePercent: number;
  readonly grantedBytes: number;
  /** What the sessions did that have ended. */
  readonly ended: Counters;
  /** One for each session that lives, in no order. */
  readonly rows: readonly LedgerRow[];
}

const MAGIC = 'AQLEDGR1';
const VERSION = 1;
/** How many rows went over into `ended`; a reader that finds another number afterwards has read two moments. */
export const TAKEN_AT = 40;
const COPIES = [64, 128] as const;
const FIRST_ROW = 256;
const ROW_BYTES = 128;
const MAX_ROWS = 4096;
/** Longer than any ledger. */
export const MAX_BYTES = FIRST_ROW + MAX_ROWS * ROW_BYTES;

/**
 * Reads the file that workers write (native/worker/README.md). It may change while it is read: each number is whole, but
 * two numbers may be of two moments. Undefined if the bytes are no ledger of this version.
 */
export function readLedger(bytes: Buffer): Ledger | undefined {
  if (bytes.length < FIRST_ROW || bytes.toString('latin1', 0, 8) !== MAGIC) return undefined;
  if (bytes.readUInt32LE(8) !== VERSION) return undefined;
  const count = bytes.readUInt32LE(12);
  if (count > MAX_ROWS || bytes.length < FIRST_ROW + count * ROW_BYTES) return undefined;
  const copy = COPIES[Number(bytes.readBigUInt64LE(TAKEN_AT) & 1n) as 0 | 1];
  const taken = Number(bytes.readBigUInt64LE(copy + 56)) - 1; // In `ended` already, though it is not free yet.
  const places = Array.from({ length: count }, (_, i) => FIRST_ROW + i * ROW_BYTES);
  return {
    limitBytes: Number(bytes.readBigUInt64LE(16)),
    computePercent: bytes.readUInt32LE(24),
    grantedBytes: Number(bytes.readBigUInt64LE(32)),
    ended: readCounters(bytes, copy),
    rows: places.filter((at, i) => bytes.readUInt32LE(at) !== 0 && i !== taken).map((at) => readRow(bytes, at)),
  };
}

const readRow = (bytes: Buffer, at: number): LedgerRow => ({
  pid: bytes.readUInt32LE(at),
  pidStartTime: bytes.readBigUInt64LE(at + 8),
  session: bytes.toString('hex', at + 16, at + 32),
  memoryBytes: Number(bytes.readBigUInt64LE(at + 32)),
  ...readCounters(bytes, at + 40),
});

const readCounters = (bytes: Buffer, at: number): Counters => ({
  busyNs: bytes.readBigUInt64LE(at),
  launches: bytes.readBigUInt64LE(at + 8),
  bytesIn: bytes.readBigUInt64LE(at + 16),
  bytesOut: bytes.readBigUInt64LE(at + 24),
  roundTrips: bytes.readBigUInt64LE(at + 32),
  faults: bytes.readBigUInt64LE(at + 40),
  notSupportedCalls: bytes.readBigUInt64LE(at + 48),
});

/** What all sessions of the claim did, of those that have ended and of those that live. */
export function countersOf({ ended, rows }: Ledger): Counters {
  const sum = (of: keyof Counters): bigint => rows.reduce((total, row) => total + row[of], ended[of]);
  return {
    busyNs: sum('busyNs'),
    launches: sum('launches'),
    bytesIn: sum('bytesIn'),
    bytesOut: sum('bytesOut'),
    roundTrips: sum('roundTrips'),
    faults: sum('faults'),
    notSupportedCalls: sum('notSupportedCalls'),
  };
}
