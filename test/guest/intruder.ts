import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import type { Guest } from './guest.ts';

const NATIVE = resolve(import.meta.dirname, '../../native');

/** One line of what native/control/examples/intruder.rs is told. */
export type Attempt =
  | { readonly op: string; readonly [field: string]: unknown }
  | { readonly dial: { readonly session: string; readonly attach: string } };

/** What came of it. */
export interface Answer {
  readonly ok?: boolean;
  readonly reason?: string;
  readonly found?: boolean;
  readonly attach?: string;
  readonly dialed?: 'closed' | 'silent' | 'answered';
  readonly lost?: string;
}

/** Builds it. @returns where it is */
export function buildIntruder(): string {
  const words = ['build', '--release', '--locked', '--quiet', '--package', 'aquifer-control', '--example', 'intruder'];
  execFileSync('cargo', words, { cwd: NATIVE, stdio: 'inherit' });
  return join(NATIVE, 'target/release/examples/intruder');
}

/** Whoever is root in a guest says this to the gateway at an address, over one control connection, by the guest's own key. */
export async function intrude(guest: Guest, address: string, attempts: readonly Attempt[]): Promise<readonly Answer[]> {
  const lines = attempts.map((attempt) => `${JSON.stringify(attempt)}\n`).join('');
  await guest.write('/run/attempts', lines);
  const words = `/etc/aquifer/ticket.json /var/lib/aquifer-connector/key.pk8 ${address} </run/attempts`;
  const printed = await guest.exec(`/usr/local/libexec/intruder ${words}`, 180_000);
  return printed
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Answer);
}
