import { KubeConfig } from '@kubernetes/client-node';

/** Reads how to reach the API server: from a file, or as kubectl and pods do; of its contexts the current one, or that. */
export function loadKubeConfig(file: string | undefined, context?: string): KubeConfig {
  const config = new KubeConfig();
  if (file === undefined) config.loadFromDefault();
  else config.loadFromFile(file);
  if (context === undefined) return config;
  if (config.getContextObject(context) === null) throw new Error(`context ${JSON.stringify(context)} does not exist`);
  config.setCurrentContext(context);
  return config;
}

/** The namespace that the context names for those who name none. */
export const namespaceOf = (config: KubeConfig): string =>
  config.getContextObject(config.getCurrentContext())?.namespace ?? 'default';
