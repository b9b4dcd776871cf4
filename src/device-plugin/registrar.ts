import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { serveEndpoint, type Endpoint } from './endpoint.ts';
import { watchDirectory } from './directory-watch.ts';
import { fileIdentity } from './file-identity.ts';
import { kubeletSocket, register } from './kubelet.ts';
import type { PluginCounts } from './counts.ts';
import { pursue } from './pursuit.ts';
import { nextStep, type Step } from './registration-step.ts';
import type { Resource } from './resource.ts';

export interface RegistrarOptions {
  readonly resource: Resource;
  /** Kubelet's directory of device plugins. */
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly counts: Pick<PluginCounts, 'registered' | 'allocated'>;
}

export interface Registrar extends AsyncDisposable {
  /** Kubelet knows the resource and watches it. */
  readonly isWatched: () => boolean;
}

/** Keeps one resource served and registered, through restarts of kubelet and whatever becomes of the sockets. */
export function keepRegistered(options: RegistrarOptions): Registrar {
  const { resource, directory, clock, log } = options;
  const registration = new Registration(options, () => pursuit.look());
  const pursuit = pursue({
    clock,
    advance: () => registration.advance(),
    failed: (err, retryMs) => log.warn('not registered with kubelet', { resource: resource.name, err, retryMs }),
  });
  const watching = watchDirectory(directory, clock, pursuit.look);
  pursuit.look();
  return {
    isWatched: () => registration.isWatched(),
    async [Symbol.asyncDispose]() {
      watching[Symbol.dispose]();
      await pursuit[Symbol.asyncDispose]();
      await registration[Symbol.asyncDispose]();
    },
  };
}

/** A kubelet that has taken the registration connects at once; one that has not by then is asked again. */
const TO_CONNECT_MS = 3000;

class Registration implements AsyncDisposable {
  readonly #options: RegistrarOptions;
  readonly #changed: () => void;
  readonly #socket: string;
  #endpoint: Endpoint | undefined;
  #served: string | undefined;
  #registeredWith: string | undefined;
  #connectBy = 0;

  /** `changed` is called when a stream of kubelet begins or ends. */
  constructor(options: RegistrarOptions, changed: () => void) {
    this.#options = options;
    this.#changed = changed;
    this.#socket = join(options.directory, options.resource.endpoint);
  }

  isWatched(): boolean {
    return this.#endpoint !== undefined && this.#endpoint.watchers() > 0;
  }

  /** Goes as far as it can be gone now. */
  async advance(): Promise<void> {
    for (;;) {
      const step = this.#next();
      if (step === 'Wait' || step === 'Keep') return;
      await (step === 'Serve' ? this.#serve() : this.#register());
    }
  }

  #next(): Step {
    const { directory, clock } = this.#options;
    return nextStep({
      kubelet: fileIdentity(kubeletSocket(directory)),
      ours: fileIdentity(this.#socket),
      served: this.#served,
      registeredWith: this.#registeredWith,
      isWatched: this.isWatched() || clock.now().getTime() < this.#connectBy,
    });
  }

  async #serve(): Promise<void> {
    const { resource, log, counts } = this.#options;
    void this.#endpoint?.[Symbol.asyncDispose](); // Its socket is closed, and the path free, as soon as this returns.
    this.#endpoint = await serveEndpoint(resource, {
      socket: this.#socket,
      onWatchersChange: this.#changed,
      onAllocated: () => counts.allocated(resource.name),
      failed: (err) => log.error('call of kubelet failed', { resource: resource.name, err }),
    });
    this.#served = fileIdentity(this.#socket);
    this.#registeredWith = undefined;
  }

  async #register(): Promise<void> {
    const { resource, directory, clock, log, counts } = this.#options;
    const kubelet = fileIdentity(kubeletSocket(directory));
    await register(resource, directory);
    this.#registeredWith = kubelet;
    this.#connectBy = clock.now().getTime() + TO_CONNECT_MS;
    log.info('registered with kubelet', { resource: resource.name });
    counts.registered(resource.name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endpoint?.[Symbol.asyncDispose]();
  }
}
