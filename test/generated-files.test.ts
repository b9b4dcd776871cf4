import { expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { chartFiles } from '../scripts/chart/chart-files.ts';
import { crdFile, crdYaml } from '../scripts/crds/crd.ts';
import { generatedPath, protoPath, serviceFiles, servicesSource } from '../scripts/grpc/services.ts';
import { cliPage } from '../scripts/reference/cli-page.ts';
import { configurationPage } from '../scripts/reference/configuration-page.ts';
import { kindPage } from '../scripts/reference/kind-page.ts';
import { metricsPage } from '../scripts/reference/metrics-page.ts';
import { clusterKindNames } from '../src/api/cluster-kinds.ts';

const committed = (file: string): string => readFileSync(join(resolve(import.meta.dirname, '..'), file), 'utf8');

test.each(clusterKindNames)('the definition of %s is what its schema makes', (kind) => {
  expect(committed(crdFile(kind))).toBe(crdYaml(kind));
});

test.each(clusterKindNames)('the reference page of %s is what its schema makes', (kind) => {
  expect(committed(`docs/reference/${kind.toLowerCase()}.md`)).toBe(kindPage(kind));
});

test('the reference page of the configuration is what its schemas make', () => {
  expect(committed('docs/reference/configuration.md')).toBe(configurationPage());
});

test('the reference page of the command line is what its table of verbs makes', () => {
  expect(committed('docs/reference/cli.md')).toBe(cliPage());
});

test('the reference page of the metrics is what the processes register', () => {
  expect(committed('docs/reference/metrics.md')).toBe(metricsPage());
});

test.each(serviceFiles)('the services of %s are what their definition makes', async (file) => {
  expect(committed(generatedPath(file))).toBe(await servicesSource(file, committed(protoPath(file))));
});

test.each(chartFiles(committed))('the chart has what is in deploy: $file', ({ file, text }) => {
  expect(committed(file)).toBe(text);
});

test('the chart is of the version that it installs', () => {
  const { version } = JSON.parse(committed('package.json')) as { readonly version: string };
  const chart = parse(committed('deploy/helm/aquifer/Chart.yaml')) as Readonly<Record<string, unknown>>;
  expect(chart).toMatchObject({ version, appVersion: version });
});
