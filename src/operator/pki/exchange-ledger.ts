import { closeSync, fsyncSync, fstatSync, ftruncateSync, openSync } from 'node:fs';
import type { Clock } from '../../lib/clock.ts';
import type { TicketLedger } from '../ports.ts';
import { LEEWAY_SECONDS } from '../ticket/jws.ts';
import { readIfThere, writeAll, writeDurably } from './durable-file.ts';

interface Exchange {
  readonly jti: string;
  readonly holder: string;
  /** Seconds; afterwards the ticket is refused for its age, and the line is not needed. */
  readonly exp: number;
}

const COMPACT_FROM = 256; // Lines: about 50 KiB.

/**
 * Which key an unbound ticket was exchanged for: a file of JSON lines that only grows, each line on the disk before it
 * counts, and is written anew without what has expired. A line that a crash cut off was never answered for and is dropped.
 */
export class ExchangeLedger implements TicketLedger, Disposable {
  readonly #path: string;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #exchanges: Map<string, Exchange>;
  #file: number;
  #lines: number;

  /** One process at a time may have the file open. */
  constructor(path: string, clock: Pick<Clock, 'now'>) {
    this.#path = path;
    this.#clock = clock;
    const { exchanges, bytes } = readLedger(path);
    this.#exchanges = new Map(exchanges.map((exchange) => [exchange.jti, exchange]));
    this.#lines = exchanges.length;
    this.#file = openSync(path, 'a', 0o600);
    ftruncateSync(this.#file, bytes);
  }

  /** Nothing is awaited between look-up and entry, so of two holders one is the first. */
  claim(jti: string, holder: string, exp: number): Promise<'first' | 'same' | 'other'> {
    const known = this.#exchanges.get(jti);
    if (known !== undefined) return Promise.resolve(known.holder === holder ? 'same' : 'other');
    try {
      this.#append({ jti, holder, exp });
      return Promise.resolve('first');
    } catch (error) {
      return Promise.reject(new Error('the exchange of a ticket could not be recorded', { cause: error }));
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  #append(exchange: Exchange): void {
    const { size } = fstatSync(this.#file);
    try {
      writeAll(this.#file, `${JSON.stringify(exchange)}\n`);
      fsyncSync(this.#file);
    } catch (error) {
      ftruncateSync(this.#file, size); // Such as on a full disk: half a line would spoil the next one.
      throw error;
    }
    this.#exchanges.set(exchange.jti, exchange);
    this.#lines += 1;
    if (this.#lines >= COMPACT_FROM && this.#lines >= 2 * this.#living().length) this.#compact();
  }

  #compact(): void {
    const living = this.#living();
    writeDurably(this.#path, living.map((exchange) => `${JSON.stringify(exchange)}\n`).join(''));
    closeSync(this.#file);
    this.#file = openSync(this.#path, 'a', 0o600);
    this.#exchanges.clear();
    for (const exchange of living) this.#exchanges.set(exchange.jti, exchange);
    this.#lines = living.length;
  }

  #living(): Exchange[] {
    const nowSeconds = this.#clock.now().getTime() / 1000;
    return this.#exchanges
      .values()
      .filter(({ exp }) => exp + 2 * LEEWAY_SECONDS >= nowSeconds)
      .toArray();
  }
}

/** The exchanges in whole lines, and how many bytes these have. */
function readLedger(path: string): { readonly exchanges: readonly Exchange[]; readonly bytes: number } {
  const text = readIfThere(path) ?? '';
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  const lines = whole.split('\n').filter((line) => line !== '');
  return { exchanges: lines.map((line, i) => parseLine(line, `${path}:${i + 1}`)), bytes: Buffer.byteLength(whole) };
}

function parseLine(line: string, where: string): Exchange {
  const damaged = (cause?: unknown) =>
    new Error(`${where}: damaged; remove the line, and tickets that were not bound yet may be exchanged again`, {
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw damaged(error);
  }
  if (typeof value !== 'object' || value === null) throw damaged();
  const { jti, holder, exp } = value as Readonly<Record<string, unknown>>;
  if (typeof jti !== 'string' || typeof holder !== 'string' || typeof exp !== 'number') throw damaged();
  return { jti, holder, exp };
}
