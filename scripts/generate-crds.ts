import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { clusterKindNames } from '../src/api/cluster-kinds.ts';
import { crdFile, crdYaml } from './crds/crd.ts';

/** Writes the CustomResourceDefinition of every kind. */
for (const kind of clusterKindNames) {
  const file = crdFile(kind);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, crdYaml(kind));
}
