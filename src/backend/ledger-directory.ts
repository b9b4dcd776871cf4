import { closeSync, constants, fstatSync, openSync, readdirSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_BYTES, readLedger, TAKEN_AT, type Ledger } from './ledger.ts';

/** One account with the claim and the GPU that its name says it is for. */
export interface LedgerOf {
  readonly claimUid: string;
  readonly gpu: string;
  readonly ledger: Ledger;
}

const TRIES = 100;

// A claim's uid is a UUID of 36 characters; what follows the dash after it is the GPU's. What follows a dot is a nested
// container: its account holds it to its share, and what it did stands in the claim's.
const NAME = /^([0-9a-fA-F-]{36})-([^.]+)$/;

/** All accounts of the node. A file that is none, or is gone meanwhile, is left out. */
export function readLedgers(directory: string): readonly LedgerOf[] {
  return namesIn(directory).flatMap((name) => {
    const [, claimUid, gpu] = NAME.exec(name) ?? [];
    if (claimUid === undefined || gpu === undefined) return [];
    const ledger = readIfThere(join(directory, name));
    return ledger === undefined ? [] : [{ claimUid, gpu, ledger }];
  });
}

/** Removes the accounts of a claim that has no session any more. */
export function removeLedgers(directory: string, claimUid: string): void {
  for (const name of namesIn(directory)) {
    if (name.startsWith(`${claimUid}-`)) rmSync(join(directory, name), { force: true });
  }
}

/** Removes the accounts of a container that has no session any more. */
export function removeContainerLedgers(directory: string, claimUid: string, containerKey: string): void {
  for (const name of namesIn(directory)) {
    if (name.startsWith(`${claimUid}-`) && name.endsWith(`.${containerKey}`)) {
      rmSync(join(directory, name), { force: true });
    }
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function readIfThere(path: string): Ledger | undefined {
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      return readWhole(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (isMissing(error) || isOfAnotherKind(error)) return undefined;
    throw error;
  }
}

/** Reads again while sessions end: what they did could be in it twice, or not at all. */
function readWhole(file: number): Ledger | undefined {
  const stat = fstatSync(file);
  if (!stat.isFile()) return undefined;
  const bytes = Buffer.alloc(Math.min(stat.size, MAX_BYTES));
  const after = Buffer.alloc(8);
  for (let tries = 0; tries < TRIES; tries += 1) {
    readSync(file, bytes, 0, bytes.length, 0);
    readSync(file, after, 0, after.length, TAKEN_AT);
    if (bytes.subarray(TAKEN_AT, TAKEN_AT + after.length).equals(after)) return readLedger(bytes);
  }
  return undefined;
}

const codeOf = (error: unknown): unknown => Reflect.get(Object(error), 'code');

const isMissing = (error: unknown): boolean => codeOf(error) === 'ENOENT';

/** A link or a socket: workers may make what they like there. */
const isOfAnotherKind = (error: unknown): boolean => ['ELOOP', 'ENXIO'].includes(String(codeOf(error)));
