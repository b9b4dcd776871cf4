import { basename, join } from 'node:path';
import { kindNames } from '../../src/api/kinds.ts';
import { crdFile, crdYaml } from '../crds/crd.ts';

const FILES = 'deploy/helm/aquifer/files';
const ADMISSION = 'deploy/admission/pods.yaml';

export interface ChartFile {
  readonly file: string;
  readonly text: string;
}

/** The files of the chart that are made of others: the definitions of the kinds, and what admits pods. */
export function chartFiles(read: (path: string) => string): readonly ChartFile[] {
  const crds = kindNames.map((kind) => ({ file: join(FILES, 'crds', basename(crdFile(kind))), text: crdYaml(kind) }));
  return [...crds, { file: join(FILES, 'admission', basename(ADMISSION)), text: read(ADMISSION) }];
}
