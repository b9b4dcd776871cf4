import { chmodSync, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { GUESTS_FOLDER } from '../api/guest-offer.ts';

/** Every path below the data directory that this process knows. */
export interface DataDir {
  readonly root: string;
  readonly run: string;
  readonly log: string;
  readonly pki: string;
  readonly ledgers: string;
  readonly turns: string;
  readonly sockets: string;
  /** State of the local connector: its key and its offers. */
  readonly connector: string;
  /** A folder for each guest that has a claim; made with the first. */
  readonly guests: string;
  /** State of the software GPUs, which their processes share. */
  readonly softwareGpus: string;
  readonly apiSocket: string;
  readonly backendSocket: string;
  readonly spawnerSocket: string;
  readonly connectorSocket: string;
  readonly gatewaySocket: string;
  /** Where the vhost-user-vsock processes of guests connect to. */
  readonly vsockSocket: string;
}

export function dataDirAt(root: string): DataDir {
  const run = join(root, 'run');
  return {
    root,
    run,
    log: join(root, 'log'),
    pki: join(root, 'pki'),
    ledgers: join(run, 'ledger'),
    turns: join(run, 'turns'),
    sockets: join(run, 'sockets'),
    connector: join(root, 'connector'),
    guests: join(root, GUESTS_FOLDER),
    softwareGpus: join(root, 'softgpu'),
    apiSocket: join(run, 'api.sock'),
    backendSocket: join(run, 'backend.sock'),
    spawnerSocket: join(run, 'spawner.sock'),
    connectorSocket: join(run, 'connector.sock'),
    gatewaySocket: join(run, 'gateway.sock'),
    vsockSocket: join(run, 'vsock.sock'),
  };
}

/**
 * Makes the directories that are missing, and closes to others what belongs to this user alone.
 * @throws Error that names the directory and what is in the way.
 */
export function makeDataDir(dirs: DataDir): void {
  const { root, run, log, pki, ledgers, turns, sockets, connector, softwareGpus } = dirs;
  try {
    for (const directory of [root, run, log, pki, ledgers, turns, sockets, connector, softwareGpus]) make(directory);
    for (const directory of [run, pki, connector]) chmodSync(directory, 0o700);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`the data directory ${root} cannot be used: ${why}; choose another with --data-dir`, { cause });
  }
}

/** Not `recursive`: Node then tries for ever below a directory that takes no entries, such as /proc. */
function make(directory: string): void {
  if (isDirectory(directory)) return;
  if (!existsSync(dirname(directory))) make(dirname(directory));
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    // Another serve may start on it at the same time; the lock of the store tells which of the two goes on.
    if (!isDirectory(directory)) throw error;
  }
}

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
