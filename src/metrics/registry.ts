import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { VERSION } from '../lib/version.ts';

/** A metric as its users see it. Labels are of closed sets: kinds, reasons, pools; names of claims only where a node says what each of its own uses. */
export interface Metric<Label extends string = never> {
  /** In base units: `_seconds`, `_bytes`, `_ratio`; what only counts up ends in `_total`. */
  readonly name: `aquifer_${string}`;
  readonly help: string;
  readonly labels?: readonly Label[];
}

export type Labels<Label extends string> = Readonly<Record<Label, string>>;

/** One value of a metric and its labels. */
export type Sample<Label extends string> = readonly [labels: Labels<Label>, value: number];

export interface Described {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
}

/** The metrics of a process. */
export interface Metrics {
  readonly contentType: string;
  /** All of them, as Prometheus reads it. */
  text(): Promise<string>;
  /** Those that are Aquifer's own, in the order of their registration. */
  described(): readonly Described[];
  /** Returns what counts one more. */
  counter<L extends string>(metric: Metric<L>): (labels: Labels<L>) => void;
  /** Returns what takes one measurement. `buckets` are upper bounds. */
  histogram<L extends string>(
    metric: Metric<L> & { readonly buckets: readonly number[] },
  ): (labels: Labels<L>, value: number) => void;
  /** A value that is somewhere already: it is read when somebody asks. */
  gauge<L extends string>(metric: Metric<L>, read: () => Iterable<Sample<L>>): void;
  /** What many gauges are taken from: read once for all of them when somebody asks. */
  shared<T>(read: () => T): () => T;
  /** The same as a gauge for what only counts up. */
  readCounter<L extends string>(metric: Metric<L>, read: () => Iterable<Sample<L>>): void;
}

/** Gauges of prom-client whose names say that they are counters; others of the same content stay. */
const MISNAMED = ['nodejs_active_resources_total', 'nodejs_active_handles_total', 'nodejs_active_requests_total'];

/** A registry that has the metrics of the process itself, under the names that all programs have for them. */
export function createMetrics(): Metrics {
  const registry = registryOfProcess();
  const described: Described[] = [];
  const settings = <L extends string>(type: Described['type'], { name, help, labels = [] }: Metric<L>) => {
    described.push({ name, type, help, labels });
    return { name, help, labelNames: [...labels], registers: [registry] };
  };

  const build = { name: 'aquifer_build_info', help: 'Always 1; the label says which version runs.' } as const;
  new Gauge(settings('gauge', { ...build, labels: ['version'] })).set({ version: VERSION }, 1);
  let scrapes = 0;
  return {
    contentType: registry.contentType,
    described: () => described,
    text() {
      scrapes += 1;
      return registry.metrics();
    },

    shared: (read) => oncePer(() => scrapes, read),

    counter(metric) {
      const counter = new Counter(settings('counter', metric));
      return (labels) => counter.inc(labels, 1);
    },

    histogram({ buckets, ...metric }) {
      const histogram = new Histogram({ ...settings('histogram', metric), buckets: [...buckets] });
      return (labels, value) => histogram.observe(labels, value);
    },

    gauge(metric, read) {
      new Gauge({
        ...settings('gauge', metric),
        collect() {
          this.reset();
          for (const [labels, value] of read()) this.set(labels, value);
        },
      });
    },

    readCounter(metric, read) {
      new Counter({
        ...settings('counter', metric),
        collect() {
          this.reset();
          for (const [labels, value] of read()) this.inc(labels, value);
        },
      });
    },
  };
}

function registryOfProcess(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
  return registry;
}

/** Reads once for each value of `round`. */
function oncePer<T>(round: () => number, read: () => T): () => T {
  let last: { readonly round: number; readonly value: T } | undefined;
  return () => {
    if (last?.round !== round()) last = { round: round(), value: read() };
    return last.value;
  };
}
