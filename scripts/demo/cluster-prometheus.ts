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

interface Pods {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly spec: { readonly containers: readonly { readonly ports?: readonly Port[] }[] };
  }[];
}

interface Port {
  readonly name?: string;
  readonly containerPort: number;
}

/** A Prometheus beside the cluster, which reads the metrics of a namespace's pods through the API server. */
export async function clusterPrometheus(on: Cluster, namespace: string): Promise<Prometheus> {
  const { clusters, users } = JSON.parse(readFileSync(on.kubeconfig, 'utf8')) as Kubeconfig;
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
    // Debian's Prometheus is built without the discovery of pods.
    static_configs: (await pathsOf(on, namespace)).map(([pod, path]) => ({
      targets: [new URL(cluster.server).host],
      labels: { pod, __metrics_path__: path },
    })),
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

/** The pods of a namespace that have metrics, each with a path of the API server that leads to them. */
async function pathsOf(on: Cluster, namespace: string): Promise<readonly (readonly [string, string])[]> {
  const { stdout } = await on.kubectl(['get', 'pods', `--namespace=${namespace}`, '--output=json']);
  return (JSON.parse(stdout) as Pods).items.flatMap(({ metadata: { name }, spec }) =>
    spec.containers
      .flatMap(({ ports = [] }) => ports)
      .filter((port) => port.name?.endsWith('metrics'))
      .map(({ containerPort }) => [
        name,
        `/api/v1/namespaces/${namespace}/pods/${name}:${containerPort}/proxy/metrics`,
      ]),
  );
}
