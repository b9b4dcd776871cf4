import { Agent as PlainAgent, type OutgoingHttpHeaders } from 'node:http';
import { Agent, type AgentOptions, type RequestOptions } from 'node:https';
import type { Clock } from '../lib/clock.ts';
import type { ApiAccess } from './access.ts';

const RENEW_MS = 60_000; // As client-go does; kubelet writes a projected token anew when a fifth of its life is left.
const RENEW_AT_MOST_EVERY_MS = 1000;
const MAX_SOCKETS = 64;
const IDLE_MS = 30_000; // The API server closes a connection that was idle for 90 s; it must not do so under a request.

/** What every request carries: who we are, and the connections that are kept. */
export interface Prepared {
  readonly headers: OutgoingHttpHeaders;
  readonly agent: PlainAgent;
  readonly auth?: string;
}

/**
 * The credentials of an ApiAccess and the connections that they opened. They are read anew every minute and whenever
 * they were refused; only other TLS settings need other connections. Requests in work keep the old ones until they end.
 */
export class Credentials implements Disposable {
  readonly #load: () => ApiAccess;
  readonly #clock: Pick<Clock, 'now'>;
  #prepared: Promise<Prepared> | undefined;
  #readMs = 0;
  #kept: { readonly agent: PlainAgent; readonly identity: string } | undefined;

  constructor(load: () => ApiAccess, clock: Pick<Clock, 'now'>) {
    this.#load = load;
    this.#clock = clock;
  }

  current(): Promise<Prepared> {
    return this.#prepared === undefined || this.#ageMs() >= RENEW_MS ? this.#read() : this.#prepared;
  }

  /** The API server did not know us: reads the credentials anew, unless that was done just now. */
  refused(): void {
    if (this.#ageMs() >= RENEW_AT_MOST_EVERY_MS) this.#prepared = undefined;
  }

  [Symbol.dispose](): void {
    this.#kept?.agent.destroy();
  }

  #ageMs(): number {
    return this.#clock.now().getTime() - this.#readMs;
  }

  #read(): Promise<Prepared> {
    const before = this.#prepared;
    this.#readMs = this.#clock.now().getTime();
    const reading = this.#prepare();
    // A file that cannot be read for a moment is no reason to stop with credentials that still hold.
    const next = before === undefined ? reading : reading.catch(() => before);
    this.#prepared = next;
    next.catch(() => (this.#prepared = undefined));
    return next;
  }

  async #prepare(): Promise<Prepared> {
    const config = this.#load();
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    const headers = { ...(options.headers as OutgoingHttpHeaders | undefined) };
    const { auth } = options;
    return { headers, agent: this.#agentFor(config, options), ...(auth == null ? {} : { auth }) };
  }

  #agentFor(config: ApiAccess, options: RequestOptions): PlainAgent {
    const cluster = config.getCurrentCluster();
    const { ca, cert, key, servername, rejectUnauthorized } = options;
    const tls = { ca, cert, key, servername, rejectUnauthorized };
    const identity = JSON.stringify([cluster?.server, cluster?.proxyUrl, ...Object.values(tls).map(String)]);
    if (this.#kept?.identity === identity) return this.#kept.agent;
    const agent = cluster?.proxyUrl === undefined ? direct(cluster?.server, tls) : proxied(options);
    this.#kept = { agent, identity };
    return agent;
  }
}

/** Idle connections of an agent that is no longer asked close themselves. */
function direct(server: string | undefined, tls: AgentOptions): PlainAgent {
  const kept = { keepAlive: true, keepAliveMsecs: 15_000, maxSockets: MAX_SOCKETS, timeout: IDLE_MS };
  if (server?.startsWith('http:') === true) return new PlainAgent(kept);
  const given = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined));
  return new Agent({ ...kept, ...given });
}

const proxied = ({ agent }: RequestOptions): PlainAgent => agent as PlainAgent;
