import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { chartFiles } from './chart/chart-files.ts';

/** Puts into the chart what it shares with the rest of deploy: Helm reads no file outside of a chart. */
for (const { file, text } of chartFiles((path) => readFileSync(path, 'utf8'))) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}
