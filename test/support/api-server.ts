import { randomInt } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { request as plainRequest, type ClientRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBinaries } from '../cluster/binaries.ts';
import { ClusterAuthority } from '../cluster/certificates.ts';
import { apiServerArguments, etcdArguments, issueApiServer } from '../cluster/control-plane.ts';
import { writeKubeconfig } from '../cluster/kubeconfig.ts';
import { auditLog, type AuditedWrite } from './audit-log.ts';
import { BackgroundProgram } from './background-program.ts';

const READY_MS = 120_000;
const PORT = 6443;

/** A real kube-apiserver with an etcd of its own on loopback: no nodes, no controllers, no root. Disposing it removes all. */
export interface ApiServer extends AsyncDisposable {
  /** Stays the same over restarts. */
  readonly url: string;
  /** The file of an administrator's kubeconfig. */
  readonly kubeconfig: string;
  /** What the API server has said so far. */
  log(): string;
  /** All that anybody asked it to write, oldest first. */
  writes(): readonly AuditedWrite[];
  /** Starts a stopped or killed API server again, and waits until it is ready. */
  start(): Promise<void>;
  /** Stops the API server as its init system would. etcd goes on. */
  stop(): Promise<void>;
  /** kill -9 of the API server, as a crash would. etcd goes on. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  /** Freezes the API server: it keeps its connections and answers nobody. */
  pause(): void;
  resume(): void;
}

/** Builds etcd and kube-apiserver where the cache lacks them, and starts them. @throws Error with what they said instead. */
export async function startApiServer({ isAudited = false } = {}): Promise<ApiServer> {
  const bin = await ensureBinaries(['etcd', 'kube-apiserver']);
  const folder = mkdtempSync(join(tmpdir(), 'aq-api-'));
  // An address of its own, of 16 million on loopback: the ports stay free for a restart and for others.
  const address = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
  const url = `https://${address}:${PORT}`;
  const authority = await ClusterAuthority.create(join(folder, 'pki'));
  await issueApiServer(authority, [address]);
  await authority.issue('admin', { name: 'admin', organization: 'system:masters' });
  const kubeconfig = join(folder, 'kubeconfig');
  writeKubeconfig(kubeconfig, url, authority.folder, 'admin');

  const etcdUrl = `http://${address}:2379`;
  const etcdCommand = etcdArguments(join(folder, 'etcd'), etcdUrl, `http://${address}:2380`);
  const etcd = new BackgroundProgram('etcd', [join(bin, 'etcd'), ...etcdCommand], join(folder, 'etcd.log'));
  const audit = auditLog(folder);
  const addresses = [`--bind-address=${address}`, `--advertise-address=${address}`, '--endpoint-reconciler-type=none'];
  const extra = [...addresses, ...(isAudited ? audit.args : [])];
  const command = apiServerArguments({ etcdUrl, port: PORT, certificates: authority.folder, extra });
  const logFile = join(folder, 'kube-apiserver.log');
  const server = new BackgroundProgram('kube-apiserver', [join(bin, 'kube-apiserver'), ...command], logFile);

  const ca = readFileSync(join(authority.folder, 'ca.crt'));
  const start = (): Promise<void> =>
    server.start(() => answers(request({ host: address, port: PORT, path: '/readyz', ca })), READY_MS);
  const remove = async (): Promise<void> => {
    await server.end('SIGKILL');
    await etcd.end('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await etcd.start(() => answers(plainRequest(`${etcdUrl}/health`)), READY_MS);
    await start();
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    url,
    kubeconfig,
    log: () => server.log,
    writes: audit.writes,
    start,
    stop: () => server.end('SIGTERM'),
    kill: () => server.end('SIGKILL'),
    async restart() {
      await server.end('SIGTERM');
      await start();
    },
    pause: () => server.signal('SIGSTOP'),
    resume: () => server.signal('SIGCONT'),
    [Symbol.asyncDispose]: remove,
  };
}

/** Whether a GET is answered with 200. Nobody there, or a wrong certificate, is a no. */
function answers(sent: ClientRequest): Promise<boolean> {
  return new Promise((resolve) => {
    sent.once('response', (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    sent.setTimeout(5000, () => sent.destroy());
    sent.once('error', () => resolve(false)).once('close', () => resolve(false));
    sent.end();
  });
}
