import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';

const DASHBOARDS = resolve(import.meta.dirname, '../../deploy/dashboards');

/** The alerts as they are shipped. */
export const RULES = join(DASHBOARDS, 'aquifer.rules.yaml');

interface Rule {
  readonly alert: string;
  readonly expr: string;
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

export function alertRules(): readonly Rule[] {
  const { groups } = parse(readFileSync(RULES, 'utf8')) as { readonly groups: readonly { rules: readonly Rule[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

/** The queries of the dashboard by the title of their panel, with what Grafana puts in for its variables. */
export function dashboardQueries(): readonly (readonly [title: string, query: string])[] {
  const { panels } = JSON.parse(readFileSync(join(DASHBOARDS, 'aquifer.json'), 'utf8')) as {
    readonly panels: readonly Panel[];
  };
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(
      ({ expr }) => [title, expr.replaceAll('$__rate_interval', '1m').replaceAll('$namespace', '.*')] as const,
    ),
  );
}
