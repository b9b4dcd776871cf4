import type { JsonObject } from '../ipc/json-lines.ts';
import type { Log } from '../lib/log.ts';
import { serveLines, type LinePeer } from '../ipc/line-server.ts';

export interface GatewayConnectionsOptions {
  readonly socket: string;
  readonly log: Log;
  /** Answers a request. `reported` is called when the gateway has told which sessions live. */
  readonly answer: (op: string, fields: JsonObject, reported: () => void) => Promise<JsonObject>;
}

/** The gateways that are connected: one, and for a moment two while one is replaced. */
export interface GatewayConnections extends AsyncDisposable {
  /** Whether a gateway has told which sessions live: before that, nobody can say that there are none. */
  isInformed(): boolean;
  /** Ends all sessions of the claim, now and whenever a gateway connects: its ticket may still be about. */
  revoke(claimUid: string): void;
  isRevoked(claimUid: string): boolean;
  /** Calls back whenever a gateway has told which sessions live, until disposed. */
  onInformed(callback: () => void): Disposable;
}

const MAX_REVOKED = 10_000; // A claim that is gone is refused as such anyway; this only bridges its deletion.

export async function acceptGateways(options: GatewayConnectionsOptions): Promise<GatewayConnections> {
  const { socket, log, answer } = options;
  const connected = new Set<LinePeer>();
  const informed = new Set<LinePeer>();
  const revoked = new Set<string>();
  const callbacks = new Set<() => void>();

  const reported = (peer: LinePeer): void => {
    informed.add(peer);
    for (const claimUid of revoked) peer.event('revoke', { claimUid });
    for (const callback of callbacks) callback();
  };

  const server = await serveLines(socket, 'backend', {
    connected(peer) {
      connected.add(peer);
      log.info('gateway connected', { version: peer.version });
    },
    disconnected(peer) {
      connected.delete(peer);
      informed.delete(peer);
      log.warn('gateway disconnected', { version: peer.version });
    },
    request: (peer, op, fields) => answer(op, fields, () => reported(peer)),
    failed: (err) => log.error('gateway request failed', { err }),
  });

  return {
    isInformed: () => informed.size > 0,
    revoke(claimUid) {
      revoked.add(claimUid);
      const [oldest] = revoked;
      if (revoked.size > MAX_REVOKED && oldest !== undefined) revoked.delete(oldest);
      for (const peer of connected) peer.event('revoke', { claimUid });
    },
    isRevoked: (claimUid) => revoked.has(claimUid),
    onInformed(callback) {
      callbacks.add(callback);
      return { [Symbol.dispose]: () => void callbacks.delete(callback) };
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
