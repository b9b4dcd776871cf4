import type { Clock } from '../lib/clock.ts';
import type { Exchange } from '../kube/connection.ts';
import type { Metrics } from '../metrics/registry.ts';
import type { Check } from '../runtime/probe-server.ts';
import { stopwatch } from '../runtime/stopwatch.ts';

const SILENCE_MS = 30_000; // Every replica reads the Lease every two seconds.
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30];

export interface ApiContact {
  readonly onExchange: (exchange: Exchange) => void;
  /** Fails while the API server does not answer. */
  readonly check: Check;
}

/** Counts the requests to the API server, and notices when it is away. */
export function apiContact(clock: Clock, metrics: Metrics): ApiContact {
  let answered = stopwatch(clock);
  let ever = false;
  const requests = metrics.counter({
    name: 'aquifer_api_requests_total',
    help: 'Requests to the Kubernetes API by method and status code; 0: no answer.',
    labels: ['method', 'code'],
  });
  const durations = metrics.histogram({
    name: 'aquifer_api_request_duration_seconds',
    help: 'Time until the Kubernetes API began to answer.',
    labels: ['method'],
    buckets: SECONDS,
  });
  return {
    onExchange({ method, status, durationMs }) {
      requests({ method, code: String(status ?? 0) });
      durations({ method }, durationMs / 1000);
      if (status === undefined) return;
      answered = stopwatch(clock);
      ever = true;
    },
    check() {
      if (!ever) return 'the API server has not answered yet';
      const silenceMs = answered.elapsedMs();
      return silenceMs < SILENCE_MS
        ? undefined
        : `the API server has not answered for ${Math.round(silenceMs / 1000)} s`;
    },
  };
}
