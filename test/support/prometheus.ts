import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { cacheRoot } from '../cluster/cache.ts';
import { ensureUnpacked } from '../cluster/debian-packages.ts';
import { BackgroundProgram } from './background-program.ts';

const READY_MS = 60_000;
const PORT = 9090;

/** One line of what a query gives. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: 'pending' | 'firing';
}

export interface PrometheusOptions {
  /** `scrape_configs` as Prometheus' configuration has them. */
  readonly scrape: readonly object[];
  /** Files of rules. */
  readonly rules?: readonly string[];
  /** How often targets are asked and rules are looked at. @default 500 */
  readonly intervalMs?: number;
}

/** A real Prometheus on an address of its own. Disposing it removes all. */
export interface Prometheus extends AsyncDisposable {
  readonly url: string;
  log(): string;
  /** What an expression gives now. @throws Error with Prometheus' word for what is wrong with it. */
  query(expression: string): Promise<readonly Series[]>;
  alerts(): Promise<readonly Alert[]>;
  /** Each target with why it could not be read; '' where it was. */
  targets(): Promise<readonly { readonly job: string; readonly url: string; readonly error: string }[]>;
}

/** Unpacks Debian's Prometheus where the cache lacks it, and starts one. @throws Error with what it said instead. */
export async function startPrometheus({
  scrape,
  rules = [],
  intervalMs = 500,
}: PrometheusOptions): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'aq-prometheus-'));
  // An address of its own, of 16 million on loopback: the port is free.
  const address = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}:${PORT}`;
  const config = join(folder, 'prometheus.yaml');
  const interval = `${intervalMs}ms`;
  const global = { scrape_interval: interval, scrape_timeout: interval, evaluation_interval: interval };
  writeFileSync(config, stringify({ global, rule_files: rules, scrape_configs: scrape }));
  const words = [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'data')}`];
  const command = [programOf('prometheus'), ...words, `--web.listen-address=${address}`];
  const server = new BackgroundProgram('prometheus', command, join(folder, 'log'));
  const url = `http://${address}`;
  const remove = async (): Promise<void> => {
    await server.end('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await server.start(() => isReady(url), READY_MS);
  } catch (error) {
    await remove();
    throw error;
  }
  return { url, log: () => server.log, ...questionsTo(url), [Symbol.asyncDispose]: remove };
}

/** Runs promtool to its end, with `input` as its standard input. @throws Error with what it found. */
export function promtool(words: readonly string[], input = ''): string {
  return execFileSync(programOf('promtool'), words, { input, encoding: 'utf8', stdio: 'pipe' });
}

const programOf = (name: 'prometheus' | 'promtool'): string =>
  join(ensureUnpacked(['prometheus'], join(cacheRoot(), 'prometheus')), 'usr/bin', name);

const isReady = (url: string): Promise<boolean> =>
  fetch(`${url}/-/ready`).then(
    (answer) => answer.ok,
    () => false,
  );

function questionsTo(url: string): Pick<Prometheus, 'query' | 'alerts' | 'targets'> {
  async function ask<T>(path: string, parameters: Readonly<Record<string, string>> = {}): Promise<T> {
    const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`);
    const { status, error, data } = (await response.json()) as { status: string; error?: string; data: T };
    if (status !== 'success') throw new Error(`${parameters['query'] ?? path}: ${error}`);
    return data;
  }
  return {
    async query(expression) {
      const { resultType, result } = await ask<QueryAnswer>('query', { query: expression });
      if (resultType === 'scalar') return [{ labels: {}, value: Number(result[1]) }];
      return result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
    },
    async alerts() {
      const { alerts } = await ask<{ readonly alerts: readonly Alert[] }>('alerts');
      return alerts;
    },
    async targets() {
      const { activeTargets } = await ask<{ readonly activeTargets: readonly Target[] }>('targets');
      return activeTargets.map(({ scrapePool, scrapeUrl, lastError }) => ({
        job: scrapePool,
        url: scrapeUrl,
        error: lastError,
      }));
    },
  };
}

type QueryAnswer =
  | { readonly resultType: 'scalar'; readonly result: readonly [number, string] }
  | { readonly resultType: 'vector'; readonly result: readonly Sample[] };

interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

interface Target {
  readonly scrapePool: string;
  readonly scrapeUrl: string;
  readonly lastError: string;
}
