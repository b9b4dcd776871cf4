/** `make bench [SUITE=name]`: runs the suites, writes build/bench/<suite>.json and prints a table with a verdict for each goal. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { goals } from './goals.ts';
import { meets, type BenchResult } from './result.ts';

const SUITES = ['allocator', 'softgpu', 'dataplane', 'shares', 'memory', 'claims', 'pods', 'guest'] as const;

/** A suite is a module bench/<suite>.ts that exports `measure`; progress goes to stderr. */
interface Suite {
  /** What it starts it gives to `resources`, which are disposed of also when somebody interrupts it. */
  measure(resources: AsyncDisposableStack): Promise<readonly BenchResult[]>;
}

function verdict(suite: string, result: BenchResult): string {
  const wanted = goals[suite]?.[result.name] ?? [];
  return wanted
    .map(
      (goal) =>
        `${meets(result, goal) ? 'reached' : 'NOT REACHED'}: ${goal.field} ${goal.is} ${goal.limit.toPrecision(3)}`,
    )
    .join('; ');
}

const show = (n: number | undefined): string =>
  n === undefined ? '' : n >= 1e5 ? n.toPrecision(4) : String(+n.toPrecision(4));

function print(suite: string, results: readonly BenchResult[]): void {
  const rows = results.map((r) => [
    r.name,
    r.unit,
    show(r.p50),
    show(r.p99),
    show(r.value),
    show(r.ratio),
    verdict(suite, r),
  ]);
  const table = [['result', 'unit', 'p50', 'p99', 'value', 'ratio', 'goal'], ...rows];
  const widths = table[0]!.map((_, i) => Math.max(...table.map((row) => row[i]!.length)));
  console.log(`\n${suite}`);
  for (const row of table) console.log(`  ${row.map((cell, i) => cell.padEnd(widths[i]!)).join('  ')}`.trimEnd());
}

const { values } = parseArgs({ options: { suite: { type: 'string' } } });
const wanted = values.suite === undefined ? SUITES : SUITES.filter((name) => name === values.suite);
if (wanted.length === 0) {
  console.error(`there is no suite ${values.suite}; the suites are ${SUITES.join(', ')}`);
  process.exit(2);
}
const commit = execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).trim();
const machine = { cpus: cpus().length, memoryBytes: totalmem(), kernel: release() };
mkdirSync('build/bench', { recursive: true });
process.env['TMPDIR'] = mkdtempSync(join(tmpdir(), 'aq-bench-'));
process.on('exit', () => rmSync(tmpdir(), { recursive: true, force: true }));
let resources = new AsyncDisposableStack();
let interrupted: Promise<never> | undefined;
const interrupt = (): void => {
  interrupted ??= resources.disposeAsync().then(() => process.exit(130));
};
process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
for (const name of wanted) {
  const module = new URL(`${name}.ts`, import.meta.url);
  if (!existsSync(module)) {
    console.error(`suite ${name} is not there yet`);
    process.exitCode = 1;
    continue;
  }
  console.error(`measuring ${name} …`);
  const suite = (await import(module.href)) as Suite;
  resources = new AsyncDisposableStack();
  let results: readonly BenchResult[];
  try {
    results = await suite.measure(resources);
  } finally {
    await interrupted; // What was under way fails when its resources go.
    await resources.disposeAsync();
  }
  writeFileSync(`build/bench/${name}.json`, `${JSON.stringify({ suite: name, commit, machine, results }, null, 2)}\n`);
  print(name, results);
}
