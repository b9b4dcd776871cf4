import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '../../../test/support/manual-clock.ts';
import { ExchangeLedger } from './exchange-ledger.ts';

let directory = '';
let path = '';
const clock = new ManualClock();
const later = clock.now().getTime() / 1000 + 600;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'aquifer-ledger-'));
  path = join(directory, 'exchanges.jsonl');
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('the exchange ledger', () => {
  test('knows the first holder of a ticket, after a restart too', async () => {
    using ledger = new ExchangeLedger(path, clock);
    expect(await ledger.claim('t1', 'alice', later)).toBe('first');
    expect(await ledger.claim('t1', 'alice', later)).toBe('same');
    using again = new ExchangeLedger(path, clock);
    expect(await again.claim('t1', 'mallory', later)).toBe('other');
    expect(await again.claim('t1', 'alice', later)).toBe('same');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('makes one of two holders who come at once the first', async () => {
    using ledger = new ExchangeLedger(path, clock);
    const answers = await Promise.all([ledger.claim('t1', 'alice', later), ledger.claim('t1', 'mallory', later)]);
    expect(answers).toEqual(['first', 'other']);
  });

  test('has the answer on the disk before it is given', async () => {
    using ledger = new ExchangeLedger(path, clock);
    await ledger.claim('t1', 'alice', later);
    expect(readFileSync(path, 'utf8')).toBe(`${JSON.stringify({ jti: 't1', holder: 'alice', exp: later })}\n`);
  });

  test('drops a line that a crash cut off, and goes on behind the last whole one', async () => {
    using ledger = new ExchangeLedger(path, clock);
    await ledger.claim('t1', 'alice', later);
    appendFileSync(path, '{"jti":"t2","hol');
    using again = new ExchangeLedger(path, clock);
    expect(await again.claim('t2', 'bob', later)).toBe('first');
    using third = new ExchangeLedger(path, clock);
    expect(await third.claim('t1', 'bob', later)).toBe('other');
    expect(await third.claim('t2', 'bob', later)).toBe('same');
  });

  test('names the line that is damaged', () => {
    writeFileSync(path, '{"jti":"t1","holder":"a","exp":1}\nrubbish\n');
    expect(() => new ExchangeLedger(path, clock)).toThrow(`${path}:2: damaged`);
  });

  test('does not grow for ever: what has expired is left out, what has not is kept', async () => {
    const turning = new ManualClock();
    using ledger = new ExchangeLedger(path, turning);
    const nowSeconds = turning.now().getTime() / 1000;
    await ledger.claim('kept', 'alice', nowSeconds + 1_000_000);
    for (let i = 0; i < 400; i++) {
      if (i === 150) await turning.advance(3_600_000);
      await ledger.claim(`t${i}`, 'alice', turning.now().getTime() / 1000 + 60);
    }
    expect(readFileSync(path, 'utf8').split('\n').length).toBeLessThan(400);
    using again = new ExchangeLedger(path, turning);
    expect(await again.claim('kept', 'mallory', later)).toBe('other');
    expect(await again.claim('t399', 'mallory', later)).toBe('other');
  });
});
