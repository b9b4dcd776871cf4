import { mkdirSync, writeFileSync } from 'node:fs';
import { clusterKindNames } from '../src/api/cluster-kinds.ts';
import { cliPage } from './reference/cli-page.ts';
import { configurationPage } from './reference/configuration-page.ts';
import { kindPage } from './reference/kind-page.ts';
import { metricsPage } from './reference/metrics-page.ts';

/** Writes the reference pages of the kinds, the configuration, the command line and the metrics. */
mkdirSync('docs/reference', { recursive: true });
for (const kind of clusterKindNames) writeFileSync(`docs/reference/${kind.toLowerCase()}.md`, kindPage(kind));
writeFileSync('docs/reference/configuration.md', configurationPage());
writeFileSync('docs/reference/cli.md', cliPage());
writeFileSync('docs/reference/metrics.md', metricsPage());
