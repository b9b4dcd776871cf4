import { KubeConfig } from '@kubernetes/client-node';

/** Reads how to reach the API server: from a file, or as kubectl and pods do. */
export function loadKubeConfig(file: string | undefined): KubeConfig {
  const config = new KubeConfig();
  if (file === undefined) config.loadFromDefault();
  else config.loadFromFile(file);
  return config;
}
