import { join } from 'node:path';
import type { ListenAddress } from '../config/values.ts';
import { VSOCK_PORT } from '../api/ticket-file.ts';
import { hostPort } from '../lib/host-port.ts';
import { VERSION } from '../lib/version.ts';
import type { DataDir } from './data-dir.ts';
import type { InstallPrefix } from '../backend/install-prefix.ts';
import type { NativeProgram } from './native-process.ts';

export interface ProgramsOptions {
  readonly prefix: InstallPrefix;
  readonly dirs: DataDir;
  readonly node: string;
  readonly listen: ListenAddress;
  /** Whether guests come over the kernel's vsock. */
  readonly vsock: boolean;
}

/** The native processes of one host, in the order in which they start. */
export function nativePrograms({ prefix, dirs, node, listen, vsock }: ProgramsOptions): {
  readonly spawner: NativeProgram;
  readonly gateway: NativeProgram;
  readonly connector: NativeProgram;
} {
  const program = (name: NativeProgram['name'], binary: string, args: readonly string[]): NativeProgram => ({
    name,
    binary,
    args: [...args, '--run-dir', dirs.run, '--log', 'json'],
    record: join(dirs.run, `${name}.json`),
    log: join(dirs.log, `${name}.log`),
    version: VERSION,
  });
  const guests = [`vsock:${dirs.vsockSocket}`, ...(vsock ? [`vsock:${VSOCK_PORT}`] : [])];
  const addresses = [hostPort(listen.host, listen.port), ...guests];
  return {
    spawner: program('spawner', prefix.spawner, ['--worker', prefix.worker]),
    gateway: program('gateway', prefix.gateway, [
      '--node',
      node,
      ...addresses.flatMap((address) => ['--listen', address]),
    ]),
    connector: program('connector', prefix.connector, [
      '--control',
      dirs.connectorSocket,
      '--state-dir',
      dirs.connector,
    ]),
  };
}
