/** House rules on names and sizes as a program: every breach is printed with what would be right; exit 1 if there is one. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

const FORBIDDEN_NAMES = /(^|\/)(utils?|helpers?|common|misc|types|manager|index)\.(ts|rs)$/;
const KEBAB_CASE = /^[a-z0-9]+([-.][a-z0-9]+)*\.ts$/;
const LEFT_OPEN = /\b(TODO|FIXME)\b|\bunimplemented!|\btodo!\(/;
const SKIPPED_TEST = /\b(it|test|describe)\.(skip|only|todo)\b|#\[ignore/;
const MAX_LINES = 500;

const files = execFileSync('git', ['ls-files', '-z', 'src', 'native', 'test', 'bench', 'scripts'], { encoding: 'utf8' })
  .split('\0')
  .filter((file) => /\.(ts|rs)$/.test(file) && existsSync(file));

function breachesOf(file: string): string[] {
  const breaches: string[] = [];
  const base = file.slice(file.lastIndexOf('/') + 1);
  if (FORBIDDEN_NAMES.test(file)) breaches.push('the name says nothing: name the file after its one idea');
  if (base.endsWith('.ts') && !KEBAB_CASE.test(base)) breaches.push('TypeScript files are kebab-case nouns');
  if (file === 'scripts/check-names.ts') return breaches;
  const lines = readFileSync(file, 'utf8').split('\n');
  const sourceOfProduct = /^(src|native)\//.test(file) && !/generated|\.test\.ts$|\/tests\//.test(file);
  if (sourceOfProduct && lines.length > MAX_LINES)
    breaches.push(`${lines.length} lines, more than ${MAX_LINES}: split it`);
  lines.forEach((line, i) => {
    if (LEFT_OPEN.test(line)) breaches.push(`line ${i + 1}: finish it or file an issue`);
    if (SKIPPED_TEST.test(line)) breaches.push(`line ${i + 1}: a test that does not run`);
  });
  return breaches;
}

const breaches = files.flatMap((file) => breachesOf(file).map((breach) => `${file}: ${breach}`));
for (const breach of breaches) console.error(breach);
console.log(`checked the names of ${files.length} files`);
process.exitCode = breaches.length === 0 ? 0 : 1;
