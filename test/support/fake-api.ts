import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import { once } from 'node:events';

/** An HTTP server that answers as a test tells it to, and counts its connections. */
export interface FakeApi extends AsyncDisposable {
  readonly port: number;
  /** Connections accepted so far. */
  readonly accepted: () => number;
  readonly requests: readonly { readonly line: string; readonly authorization: string | undefined }[];
  /** Cuts all connections. */
  cut(): void;
}

export type Answerer = (request: IncomingMessage, response: ServerResponse) => void;

export async function fakeApi(answer: Answerer): Promise<FakeApi> {
  const requests: FakeApi['requests'][number][] = [];
  let accepted = 0;
  const server = createServer((request, response) => {
    requests.push({ line: `${request.method} ${request.url}`, authorization: request.headers.authorization });
    answer(request, response);
  });
  server.on('connection', () => accepted++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    accepted: () => accepted,
    requests,
    cut: () => server.closeAllConnections(),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A KubeConfig for a server without TLS. */
export function plainConfig(port: number, user: object = {}): KubeConfig {
  const config = new KubeConfig();
  const server = `http://127.0.0.1:${port}`;
  config.loadFromClusterAndUser({ name: 'test', server, skipTLSVerify: true }, { name: 'tester', ...user });
  return config;
}

export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** What the API server answers where it says no. */
export const refusal = (code: number, reason: string, message: string, details: object = {}) => {
  return { apiVersion: 'v1', kind: 'Status', status: 'Failure', reason, message, code, details };
};
