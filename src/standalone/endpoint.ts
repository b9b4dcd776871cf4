import { hostname } from 'node:os';

const EVERY_INTERFACE = new Set(['0.0.0.0', '[::]']);

/**
 * The address under which other hosts reach the gateway, given where it listens: one that listens on every interface is
 * reached under the name of the host.
 */
export function endpointOf(listening: string, host: string = hostname()): string {
  const [, name = '', port = ''] = /^(.*):([0-9]+)$/.exec(listening) ?? [];
  return EVERY_INTERFACE.has(name) ? `${host}:${port}` : listening;
}
