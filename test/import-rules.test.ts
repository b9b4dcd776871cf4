import { expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** One planted breach of each rule: file → what it imports. Every other file named is made empty. */
const breaches: Readonly<Record<string, readonly [file: string, specifier: string]>> = {
  'pure-layers': ['src/core/engine.ts', 'node:fs'],
  'vocabulary-below-core': ['src/api/claim.ts', '../core/engine.ts'],
  'adapters-below-applications': ['src/runtime/queue.ts', '../operator/main.ts'],
  'apps-are-islands': ['src/backend/main.ts', '../operator/main.ts'],
  'one-importer-kube': ['src/operator/main.ts', '@kubernetes/client-node'],
  'one-importer-metrics': ['src/operator/main.ts', 'prom-client'],
  'one-importer-log': ['src/operator/main.ts', 'winston'],
  'one-importer-grpc': ['src/operator/main.ts', '@grpc/grpc-js'],
  'one-importer-sqlite': ['src/operator/main.ts', 'node:sqlite'],
  'no-test-imports': ['src/operator/main.ts', '../core/engine.test.ts'],
  'no-cycles': ['src/core/engine.ts', './engine.ts'],
};

const root = resolve(import.meta.dirname, '..');

function rulesBroken(files: Readonly<Record<string, string>>): string[] {
  const folder = mkdtempSync(join(root, 'build', 'import-rules-'));
  try {
    const placeholders = ['src/core/engine.ts', 'src/core/engine.test.ts', 'src/operator/main.ts'];
    for (const [file, text] of Object.entries({ ...Object.fromEntries(placeholders.map((f) => [f, ''])), ...files })) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), text);
    }
    const config = join(root, '.dependency-cruiser.cjs');
    const report = execFileSync(
      process.execPath,
      [join(root, 'node_modules/.bin/depcruise'), '--config', config, '--output-type', 'json', '--no-cache', 'src'],
      { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    );
    const { summary } = JSON.parse(report) as { summary: { violations: { rule: { name: string } }[] } };
    return [...new Set(summary.violations.map((violation) => violation.rule.name))];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

mkdirSync(join(root, 'build'), { recursive: true });

test.each(Object.entries(breaches))('%s is noticed', (rule, [file, specifier]) => {
  expect(rulesBroken({ [file]: `import '${specifier}';\n` })).toContain(rule);
});

test('a tree without a breach passes', () => {
  expect(rulesBroken({ 'src/operator/main.ts': "import '../core/engine.ts';\n" })).toEqual([]);
});
