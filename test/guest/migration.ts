import { setTimeout as sleep } from 'node:timers/promises';
import type { Qmp } from './qmp.ts';

const POLL_MS = 20;
const DESTINATION_MS = 60_000;
/** In bytes a second: nothing is held back. */
const BANDWIDTH = 2 ** 40;

/**
 * How the memory gets to the other side. Either both QEMUs have the same file as memory, or the guest stands still while all of it
 * is copied. Never while the guest runs: QEMU's emulation loses pages that are written meanwhile (measured: most guests panic).
 */
export type MigrationKind = 'shared' | 'stop';

export interface MigrationReport {
  readonly kind: MigrationKind;
  /** From the command until the guest runs on the other side, by the host's clock. */
  readonly wallMs: number;
  /** For how long it stood still, as QEMU has it. */
  readonly downtimeMs: number;
  readonly sentBytes: number;
}

interface MigrationState {
  readonly status: string;
  readonly 'error-desc'?: string;
  readonly downtime: number;
  readonly ram: { readonly transferred: number };
}

/** Moves a guest from one QEMU to another that waits for it at `uri`. @throws Error when it runs on at the source. */
export async function migrateTo(
  source: Qmp,
  destination: Qmp,
  uri: string,
  kind: MigrationKind,
): Promise<MigrationReport> {
  const startedAt = performance.now();
  if (kind === 'stop') await source.execute('stop');
  await sharesMemory(destination, kind === 'shared');
  try {
    const { downtime, ram } = await sendState(source, uri, kind === 'shared');
    await becomesRunning(destination);
    const wallMs = performance.now() - startedAt;
    // Whoever stops the guest first pauses it for the whole of it, of which QEMU knows nothing.
    return { kind, wallMs, downtimeMs: kind === 'stop' ? wallMs : downtime, sentBytes: ram.transferred };
  } catch (error) {
    await source.execute('cont');
    throw error;
  }
}

/** Told each time: who was the destination of a migration with shared memory would else send none later. */
const sharesMemory = (qmp: Qmp, state: boolean): Promise<unknown> =>
  qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'x-ignore-shared', state }] });

/** Sends a guest's state to wherever `uri` says, without its memory where both sides have that. @throws Error with QEMU's reason. */
export async function sendState(source: Qmp, uri: string, memoryIsShared = false): Promise<MigrationState> {
  await sharesMemory(source, memoryIsShared);
  await source.execute('migrate-set-parameters', { 'max-bandwidth': BANDWIDTH });
  await source.execute('migrate', { uri });
  for (;;) {
    const state = (await source.execute('query-migrate')) as MigrationState;
    if (state.status === 'completed') return state;
    if (state.status === 'failed' || state.status === 'cancelled')
      throw new Error(`the migration ${state.status}: ${state['error-desc'] ?? 'QEMU does not say why'}`);
    await sleep(POLL_MS);
  }
}

/** "Completed" is the word of the source: the guest has moved when the destination runs it. */
export async function becomesRunning(destination: Qmp): Promise<void> {
  const deadline = performance.now() + DESTINATION_MS;
  for (;;) {
    const { status } = (await destination.execute('query-status')) as { readonly status: string };
    if (status === 'running') return;
    if (status === 'paused') await destination.execute('cont'); // What was sent stopped arrives stopped.
    if (performance.now() > deadline) throw new Error(`the destination does not run the guest: ${status}`);
    await sleep(POLL_MS);
  }
}
