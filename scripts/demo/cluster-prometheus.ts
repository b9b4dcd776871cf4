import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cluster } from '../../test/cluster/cluster.ts';
import { startPrometheus, type Prometheus } from '../../test/support/prometheus.ts';

const INTERVAL_MS = 2000;

interface Kubeconfig {
  readonly clusters: readonly [
    { readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string } },
  ];
  readonly users: readonly [{ readonly user: Readonly<Record<'client-certificate-data' | 'client-key-data', string>> }];
}

/** A Prometheus beside the cluster, which finds the chart's pods itself and reads their metrics through the API server. */
export async function clusterPrometheus({ kubeconfig }: Cluster, namespace: string): Promise<Prometheus> {
  const { clusters, users } = JSON.parse(readFileSync(kubeconfig, 'utf8')) as Kubeconfig;
  const [{ cluster }] = clusters;
  const [{ user }] = users;
  const folder = mkdtempSync(join(tmpdir(), 'aq-demo-prometheus-'));
  const file = (name: string, base64: string): string => {
    writeFileSync(join(folder, name), Buffer.from(base64, 'base64'), { mode: 0o600 });
    return join(folder, name);
  };
  const scrape = {
    job_name: 'aquifer',
    scheme: 'https',
    tls_config: {
      ca_file: file('ca.crt', cluster['certificate-authority-data']),
      cert_file: file('admin.crt', user['client-certificate-data']),
      key_file: file('admin.key', user['client-key-data']),
    },
    kubernetes_sd_configs: [{ role: 'pod', kubeconfig_file: kubeconfig, namespaces: { names: [namespace] } }],
    relabel_configs: [
      { source_labels: [`${POD}_container_port_name`], regex: '(.+-)?metrics', action: 'keep' },
      {
        source_labels: [`${POD}_name`, `${POD}_container_port_number`],
        separator: ':',
        target_label: '__metrics_path__',
        replacement: `/api/v1/namespaces/${namespace}/pods/$1/proxy/metrics`,
      },
      { source_labels: [`${POD}_name`], target_label: 'pod' },
      { target_label: '__address__', replacement: new URL(cluster.server).host },
    ],
  };
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const prometheus = await startPrometheus({ scrape: [scrape], intervalMs: INTERVAL_MS });
    return {
      ...prometheus,
      async [Symbol.asyncDispose]() {
        await prometheus[Symbol.asyncDispose]();
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}

const POD = '__meta_kubernetes_pod';
