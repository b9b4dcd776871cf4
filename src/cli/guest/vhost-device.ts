import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync, openSync, rmSync, symlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { VSOCK_PORT } from '../../api/ticket-file.ts';
import { identityOf, isAlive, signalProcess, type ProcessIdentity } from '../../ipc/process-identity.ts';
import { CommandError } from '../failure.ts';

const PROGRAM = 'vhost-device-vsock';
/** Each guest has a process of its own, which knows no other: any number will do. */
const GUEST_CID = 3;
const START_MS = 10_000;
const POLL_MS = 20;
/** sockaddr_un holds 108 bytes, a zero among them. */
const MAX_SOCKET_PATH = 107;

const socketOf = (folder: string): string => join(folder, 'vhost.sock');
const guestPortsOf = (folder: string): string => join(folder, 'vsock');
/** vhost-device-vsock connects here when the guest connects to the port of its host. */
const gatewayOf = (folder: string): string => `${guestPortsOf(folder)}_${VSOCK_PORT}`;

/** Where the program is; undefined if it is not installed. */
export function vhostDeviceProgram(path: string): string | undefined {
  return path
    .split(delimiter)
    .map((directory) => join(directory, PROGRAM))
    .find(isProgram);
}

export interface VhostDevice {
  /** Where QEMU connects to. */
  readonly socket: string;
  readonly process: ProcessIdentity;
}

/** Starts the process that is a guest's vsock device, with its sockets in `folder`. It outlives this one. */
export async function startVhostDevice(program: string, folder: string, gateway: string): Promise<VhostDevice> {
  const socket = socketOf(folder);
  if (Buffer.byteLength(gatewayOf(folder)) > MAX_SOCKET_PATH)
    throw new CommandError(`${folder} is too long for the path of a socket: choose another --data-dir`);
  removeSockets(folder);
  symlinkSync(gateway, gatewayOf(folder));
  const log = openSync(join(folder, 'vhost-device.log'), 'a', 0o600);
  const words = [`--guest-cid=${GUEST_CID}`, `--socket=${socket}`, `--uds-path=${guestPortsOf(folder)}`];
  const child = spawn(program, words, { detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  child.on('error', () => undefined); // It has no pid then.
  const identity = child.pid === undefined ? undefined : identityOf(child.pid);
  const failed = new CommandError(`${program} has not started: see ${folder}/vhost-device.log`);
  if (identity === undefined) throw failed;
  child.unref();
  const deadline = performance.now() + START_MS;
  while (!existsSync(socket)) {
    if (!isAlive(identity) || performance.now() > deadline) throw failed;
    await sleep(POLL_MS);
  }
  return { socket, process: identity };
}

/** Ends it, if it runs. */
export function stopVhostDevice(process: ProcessIdentity, folder: string): void {
  signalProcess(process, 'SIGTERM');
  removeSockets(folder);
}

function removeSockets(folder: string): void {
  for (const path of [socketOf(folder), guestPortsOf(folder), gatewayOf(folder)]) rmSync(path, { force: true });
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
