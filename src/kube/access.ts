import type { RequestOptions } from 'node:https';

/** Where the API server is and who we are: what is used of client-node's KubeConfig, which others may fill too. */
export interface ApiAccess {
  getCurrentCluster(): { readonly server: string; readonly proxyUrl?: string | undefined } | null;
  getCurrentContext(): string;
  applyToHTTPSOptions(options: RequestOptions): Promise<void>;
}
