import { describe, expect, test } from '@jest/globals';
import { recordingLog } from '../../test/support/builders.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { campaign, type Leadership, type LeaseRecord, type LeaseStore } from './leadership.ts';
import { StoreError } from './store.ts';

/** The Lease as it is stored. */
class Cell {
  record: LeaseRecord | undefined;
  version = 0;

  write(record: LeaseRecord, version: string | undefined): string {
    if (version === undefined && this.record !== undefined) throw new StoreError('AlreadyExists', 'is there');
    if (version !== undefined && this.record === undefined) throw new StoreError('NotFound', 'is gone');
    if (version !== undefined && version !== String(this.version)) throw new StoreError('Conflict', 'moved on');
    this.record = record;
    return String(++this.version);
  }
}

/** One replica's way to the Lease: it can be away, say nothing, or write without an answer. */
class Way implements LeaseStore {
  mode: 'fine' | 'away' | 'silent' | 'lands without answer' = 'fine';
  readonly #cell: Cell;

  constructor(cell: Cell) {
    this.#cell = cell;
  }

  async read() {
    await this.#pass();
    const { record, version } = this.#cell;
    return record === undefined ? undefined : { record, version: String(version) };
  }

  async write(record: LeaseRecord, version: string | undefined): Promise<string> {
    await this.#pass();
    const next = this.#cell.write(record, version);
    if (this.mode === 'lands without answer') throw new StoreError('Unknown', 'no answer');
    return next;
  }

  async #pass(): Promise<void> {
    if (this.mode === 'silent') await new Promise(() => undefined);
    if (this.mode === 'away') throw new StoreError('Unavailable', 'away');
  }
}

function contest() {
  const clock = new ManualClock();
  const cell = new Cell();
  const replica = (identity: string, own = clock) => {
    const [way, stop, log] = [new Way(cell), new AbortController(), recordingLog()];
    const state = { lead: undefined as Leadership | undefined };
    const ended = campaign({ lease: way, identity, clock: own, log }, stop.signal);
    void ended.then((lead) => (state.lead = lead));
    return { way, stop, log, ended, lead: () => state.lead, holds: () => state.lead?.holds() === true };
  };
  /** Turns the clock until it is so; returns how many milliseconds that took. */
  const until = async (isSo: () => boolean): Promise<number> => {
    for (let ms = 0; ms <= 120_000; ms += 100) {
      if (isSo()) return ms;
      await clock.advance(100);
    }
    throw new Error('it never was so');
  };
  return { clock, cell, replica, until };
}

describe('campaign', () => {
  test('one of two leads, and renews; the other stands by', async () => {
    const { clock, cell, replica } = contest();
    const [a, b] = [replica('a'), replica('b')];
    await clock.advance(120_000);
    expect([a.holds(), b.holds()]).toEqual([true, false]);
    expect(cell.record).toMatchObject({ holder: 'a', transitions: 0, renewedAt: clock.now().toISOString() });
  });

  test('a Lease that is given up is taken at the next try, with a higher epoch', async () => {
    const { clock, cell, replica } = contest();
    const [a, b] = [replica('a'), replica('b')];
    await clock.advance(10_000);
    await a.lead()?.release();
    expect(a.holds()).toBe(false);
    expect(a.lead()?.lost.aborted).toBe(false);
    await clock.advance(2000);
    expect(b.holds()).toBe(true);
    expect(b.lead()?.epoch).toBeGreaterThan(a.lead()?.epoch ?? Infinity);
    expect(cell.record).toMatchObject({ holder: 'b', transitions: 1 });
  });

  test.each(['away', 'silent'] as const)(
    'a leader whose API server is %s stops before another begins',
    async (mode) => {
      const { clock, replica, until } = contest();
      const [a, b] = [replica('a'), replica('b')];
      await clock.advance(10_000);
      a.way.mode = mode;
      expect(await until(() => !a.holds())).toBeLessThanOrEqual(10_000);
      expect(a.lead()?.lost.aborted).toBe(true);
      expect(b.holds()).toBe(false);
      await until(b.holds);
      expect(b.lead()?.epoch).toBeGreaterThan(a.lead()?.epoch ?? Infinity);
    },
  );

  test('a leader that was paused knows it before any timer has run', async () => {
    const { clock, replica } = contest();
    const frozen = new ManualClock();
    const a = replica('a', frozen);
    await clock.advance(0);
    await frozen.advance(0);
    expect(a.holds()).toBe(true);
    frozen.jump(10_000);
    expect(a.holds()).toBe(false);
  });

  test('a clock that is set back makes nobody lead for longer', async () => {
    const { clock, replica, until } = contest();
    const a = replica('a');
    await clock.advance(5000);
    a.way.mode = 'away';
    clock.setBack(3_600_000);
    expect(await until(() => !a.holds())).toBeLessThanOrEqual(10_000);
  });

  test('short troubles cost nothing', async () => {
    const { clock, replica } = contest();
    const a = replica('a');
    for (const mode of ['away', 'silent', 'lands without answer'] as const) {
      await clock.advance(6000);
      a.way.mode = mode;
      await clock.advance(mode === 'silent' ? 0 : 6000);
      a.way.mode = 'fine';
    }
    await clock.advance(20_000);
    expect(a.holds()).toBe(true);
    expect(a.lead()?.lost.aborted).toBe(false);
  });

  test('a leader whose Lease another took, or somebody deleted, stops at its next renewal', async () => {
    const { clock, cell, replica } = contest();
    const a = replica('a');
    await clock.advance(1000);
    const first = a.lead();
    cell.write({ ...cell.record!, holder: 'z' }, String(cell.version));
    await clock.advance(2000);
    expect(first?.lost.aborted).toBe(true);

    const b = replica('b');
    await clock.advance(20_000);
    cell.record = undefined;
    await clock.advance(2000);
    expect(b.lead()?.lost.aborted).toBe(true);
  });

  test('the epoch grows even when the Lease was deleted', async () => {
    const { clock, cell, replica } = contest();
    const a = replica('a');
    await clock.advance(5000);
    cell.record = undefined;
    await clock.advance(2000);
    const b = replica('b');
    await clock.advance(2000);
    expect(b.lead()?.epoch).toBeGreaterThan(a.lead()?.epoch ?? Infinity);
  });

  test('of many that see a free Lease one has it', async () => {
    const { clock, replica } = contest();
    const all = Array.from({ length: 5 }, (_, i) => replica(`r${i}`));
    await clock.advance(30_000);
    expect(all.filter(({ holds }) => holds())).toHaveLength(1);
  });

  test('ends when it is told to, without having led', async () => {
    const { clock, replica } = contest();
    const [a, b] = [replica('a'), replica('b')];
    await clock.advance(5000);
    b.stop.abort();
    expect(await b.ended).toBeUndefined();
    await a.lead()?.release();
    expect(clock.pending).toBe(0);
  });
});
