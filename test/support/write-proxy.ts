import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Agent, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';

/** What the API server said to a write. */
export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** Decides what becomes of a write, such as `PATCH /api/v1/…`: it lands when `land` is called, and what is returned is answered. */
export type OnWrite = (write: string, land: () => Promise<Answer>) => Promise<Answer>;

/** Stands between a client and an API server, as its administrator, and lets a test see and hold each write. */
export interface WriteProxy extends AsyncDisposable {
  /** For clients that go through it. */
  readonly kubeconfig: string;
}

interface Kubeconfig {
  readonly clusters: readonly [
    { readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string } },
  ];
  readonly users: readonly [
    { readonly user: { readonly 'client-certificate-data': string; readonly 'client-key-data': string } },
  ];
}

/** Renewals of a Lease and reviews of tokens go through unseen: they come at times of their own and change no object. */
const UNSEEN = /^[/]apis[/](coordination|authentication)[.]k8s[.]io[/]/;

const JSON_TYPE = 'application/json';

export async function proxyWrites(administrator: string, onWrite: OnWrite): Promise<WriteProxy> {
  const { clusters, users } = JSON.parse(readFileSync(administrator, 'utf8')) as Kubeconfig;
  const { server: upstream, 'certificate-authority-data': ca } = clusters[0].cluster;
  const { 'client-certificate-data': cert, 'client-key-data': key } = users[0].user;
  const decoded = (base64: string): Buffer => Buffer.from(base64, 'base64');
  const agent = new Agent({ keepAlive: true, ca: decoded(ca), cert: decoded(cert), key: decoded(key) });
  const ask = (from: IncomingMessage, body: Buffer): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const { method, url = '/', headers: all } = from;
      const { accept = '', 'content-type': type = JSON_TYPE } = all;
      const headers = { accept, 'content-type': type, 'content-length': body.length };
      const to = request(new URL(url, upstream), { agent, method, headers });
      to.once('response', resolve).once('error', reject).end(body);
    });

  const read = async (from: IncomingMessage, to: ServerResponse): Promise<void> => {
    const response = await ask(from, Buffer.alloc(0));
    to.writeHead(response.statusCode ?? 502, { 'content-type': JSON_TYPE });
    to.flushHeaders();
    await pipeline(response, to);
  };
  const write = async (from: IncomingMessage, to: ServerResponse): Promise<void> => {
    const body = await buffer(from);
    const land = async (): Promise<Answer> => {
      const response = await ask(from, body);
      return { status: response.statusCode ?? 502, body: await buffer(response) };
    };
    const { pathname } = new URL(from.url ?? '/', upstream);
    const answer = UNSEEN.test(pathname) ? await land() : await onWrite(`${from.method} ${pathname}`, land);
    to.writeHead(answer.status, { 'content-type': JSON_TYPE }).end(answer.body);
  };

  const server = createServer((from, to) => {
    const passed = from.method === 'GET' ? read(from, to) : write(from, to);
    passed.catch(() => to.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const folder = mkdtempSync(join(tmpdir(), 'aq-proxy-'));
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(kubeconfig, JSON.stringify(configOf((server.address() as AddressInfo).port)));
  return {
    kubeconfig,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      agent.destroy();
      await closed;
      rmSync(folder, { recursive: true });
    },
  };
}

const configOf = (port: number): object => ({
  apiVersion: 'v1',
  kind: 'Config',
  'current-context': 'test',
  contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
  clusters: [{ name: 'test', cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } }],
  users: [{ name: 'test', user: {} }],
});
