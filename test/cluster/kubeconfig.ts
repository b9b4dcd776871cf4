import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Writes a kubeconfig that carries the certificates themselves, so that it works wherever the file is read. JSON is YAML. */
export function writeKubeconfig(path: string, server: string, certificates: string, user: string): void {
  const data = (file: string): string => readFileSync(join(certificates, file)).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    contexts: [{ name: 'test', context: { cluster: 'test', user } }],
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority-data': data('ca.crt') } }],
    users: [
      { name: user, user: { 'client-certificate-data': data(`${user}.crt`), 'client-key-data': data(`${user}.key`) } },
    ],
  };
  writeFileSync(path, JSON.stringify(config, undefined, 2), { mode: 0o600 });
}
