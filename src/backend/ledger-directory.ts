import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readLedger, type Ledger } from './ledger.ts';

/** One account with the claim and the GPU that its name says it is for. */
export interface LedgerOf {
  readonly claimUid: string;
  readonly gpu: string;
  readonly ledger: Ledger;
}

// A claim's uid is a UUID of 36 characters; what follows the dash after it is the GPU's.
const NAME = /^([0-9a-fA-F-]{36})-(.+)$/;

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
    return readLedger(readFileSync(path));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

const isMissing = (error: unknown): boolean => error instanceof Error && Reflect.get(error, 'code') === 'ENOENT';
