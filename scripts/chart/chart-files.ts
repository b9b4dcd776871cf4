import { basename, join, relative } from 'node:path';
import { clusterKindNames } from '../../src/api/cluster-kinds.ts';
import { crdFile, crdYaml } from '../crds/crd.ts';

const FILES = 'deploy/helm/aquifer/files';
const COPIED = ['deploy/admission/pods.yaml', 'deploy/dashboards/aquifer.rules.yaml'];

export interface ChartFile {
  readonly file: string;
  readonly text: string;
}

/** The files of the chart that are made of others: the definitions of the kinds, what admits pods, and the alerts. */
export function chartFiles(read: (path: string) => string): readonly ChartFile[] {
  const crds = clusterKindNames.map((kind) => ({
    file: join(FILES, 'crds', basename(crdFile(kind))),
    text: crdYaml(kind),
  }));
  return [...crds, ...COPIED.map((path) => ({ file: join(FILES, relative('deploy', path)), text: read(path) }))];
}
