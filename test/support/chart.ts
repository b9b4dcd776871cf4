import { join, resolve } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { ensureBinaries } from '../cluster/binaries.ts';
import { run, type Ran } from '../cluster/run.ts';

export const CHART = resolve(import.meta.dirname, '../../deploy/helm/aquifer');
/** Where the chart is installed. */
export const NAMESPACE = 'aquifer-system';
const RELEASE = 'aquifer';

interface Container {
  readonly name: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly ports?: readonly { readonly name: string }[];
  readonly securityContext: {
    readonly capabilities: { readonly drop: readonly string[]; readonly add?: readonly string[] };
  };
}

/** The parts of a rendered object that tests look at. */
export interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: { readonly template?: { readonly spec: PodSpec }; readonly [field: string]: unknown };
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly [field: string]: unknown;
}

/** Runs helm for the release. @throws Error with what it said. */
export async function helm(words: readonly string[]): Promise<Ran> {
  const bin = await ensureBinaries(['helm']);
  return run([join(bin, 'helm'), ...words, '--namespace', NAMESPACE]);
}

/** `install` and `upgrade` of a chart, with values as `--set` takes them. */
export const release = (
  verb: 'install' | 'upgrade',
  { kubeconfig, chart = CHART, values = [] }: ReleaseOptions,
): Promise<Ran> =>
  helm([verb, RELEASE, chart, '--kubeconfig', kubeconfig, ...values.flatMap((value) => ['--set', value])]);

export interface ReleaseOptions {
  readonly kubeconfig: string;
  readonly chart?: string;
  readonly values?: readonly string[];
}

/** Without the Job that looks whether claims are in use: it needs a kubelet. */
export const uninstall = (kubeconfig: string): Promise<Ran> =>
  helm(['uninstall', RELEASE, '--kubeconfig', kubeconfig, '--wait', '--no-hooks']);

/** The objects that the chart makes of these values. */
export async function render(values: readonly string[] = [], kubeVersion = '1.36.0'): Promise<readonly Rendered[]> {
  const set = values.flatMap((value) => ['--set', value]);
  const { stdout } = await helm(['template', RELEASE, CHART, '--kube-version', kubeVersion, ...set]);
  return parseAllDocuments(stdout)
    .map((document) => document.toJS() as Rendered | null)
    .filter((object) => object !== null);
}

/** The pod that a workload of the chart makes. */
export function podOf(objects: readonly Rendered[], kind: string, name: string): PodSpec {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name)?.spec?.template?.spec;
  if (found === undefined) throw new Error(`the chart makes no ${kind} ${name}`);
  return found;
}
