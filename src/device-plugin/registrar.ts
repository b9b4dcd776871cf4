import { join } from 'node:path';
import { assertNever } from '../lib/assert-never.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { backoffMs } from '../runtime/backoff.ts';
import { serveEndpoint, type Endpoint } from './endpoint.ts';
import { fileIdentity, kubeletSocket, register, watchDirectory } from './kubelet.ts';
import type { PluginCounts } from './metrics.ts';
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

const RETRY = { baseMs: 50, capMs: 5000 };
/** A kubelet that has taken the registration connects at once; one that has not by then is asked again. */
const TO_CONNECT_MS = 3000;

/** Keeps one resource served and registered, through restarts of kubelet and whatever becomes of the sockets. */
export function keepRegistered({ resource, directory, clock, log, counts }: RegistrarOptions): Registrar {
  const socket = join(directory, resource.endpoint);
  let endpoint: Endpoint | undefined;
  let served: string | undefined;
  let registeredWith: string | undefined;
  let connectBy = 0;
  let failures = 0;
  let stopped = false;
  let busy: Promise<void> | undefined;
  let isDue = false;
  let retry: Disposable | undefined;

  const isWatched = (): boolean => endpoint !== undefined && endpoint.watchers() > 0;

  const gather = (): Step =>
    nextStep({
      kubelet: fileIdentity(kubeletSocket(directory)),
      ours: fileIdentity(socket),
      served,
      registeredWith,
      isWatched: isWatched() || clock.now().getTime() < connectBy,
    });

  const serve = async (): Promise<void> => {
    void endpoint?.[Symbol.asyncDispose](); // Its socket is closed, and the path free, as soon as this returns.
    endpoint = await serveEndpoint(resource, {
      socket,
      onWatchersChange: look,
      onAllocated: () => counts.allocated(resource.name),
      failed: (err) => log.error('call of kubelet failed', { resource: resource.name, err }),
    });
    served = fileIdentity(socket);
    registeredWith = undefined;
  };

  const enrol = async (): Promise<void> => {
    const kubelet = fileIdentity(kubeletSocket(directory));
    await register(resource, directory);
    registeredWith = kubelet;
    connectBy = clock.now().getTime() + TO_CONNECT_MS;
    log.info('registered with kubelet', { resource: resource.name });
    counts.registered(resource.name);
  };

  const advance = async (): Promise<void> => {
    while (!stopped) {
      const step = gather();
      if (step === 'Wait' || step === 'Keep') return;
      if (step === 'Serve') await serve();
      else if (step === 'Register') await enrol();
      else assertNever(step);
    }
  };

  const attempt = async (): Promise<void> => {
    retry?.[Symbol.dispose]();
    do {
      isDue = false;
      try {
        await advance();
        failures = 0;
      } catch (err) {
        failures++;
        const delayMs = backoffMs(failures, RETRY);
        log.warn('not registered with kubelet', { resource: resource.name, err, retryMs: delayMs });
        if (!stopped) retry = clock.after(delayMs, look);
      }
    } while (isDue && !stopped);
    busy = undefined;
  };

  function look(): void {
    isDue = true;
    if (!stopped) busy ??= Promise.resolve().then(attempt); // Later: what it does may call us before it returns.
  }

  const watching = watchDirectory(directory, clock, look);
  look();
  return {
    isWatched,
    async [Symbol.asyncDispose]() {
      stopped = true;
      watching[Symbol.dispose]();
      retry?.[Symbol.dispose]();
      await busy;
      await endpoint?.[Symbol.asyncDispose]();
    },
  };
}
