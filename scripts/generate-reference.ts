import { mkdirSync, writeFileSync } from 'node:fs';
import { kindNames } from '../src/api/kinds.ts';
import { configurationPage } from './reference/configuration-page.ts';
import { kindPage } from './reference/kind-page.ts';

/** Writes the reference pages of the kinds and of the configuration. */
mkdirSync('docs/reference', { recursive: true });
for (const kind of kindNames) writeFileSync(`docs/reference/${kind.toLowerCase()}.md`, kindPage(kind));
writeFileSync('docs/reference/configuration.md', configurationPage());
