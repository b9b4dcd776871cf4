import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A question that a probe asks; the answer is what is wrong, or undefined. */
export type Check = () => string | undefined;

/** What a process tells of itself. */
export interface Probes {
  /** By name. A process that fails one of these is of no use to anybody just now. */
  readonly readiness: Readonly<Record<string, Check>>;
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
}

export interface ProbeServerOptions extends Probes {
  readonly listen: { readonly host: string; readonly port: number };
}

export interface ProbeServer extends AsyncDisposable {
  readonly port: number;
}

/**
 * Answers kubelet and Prometheus: `/livez` as long as the process runs its event loop, `/readyz` with every check by
 * name, `/metrics`. False where the path is none of these.
 */
export async function answerProbe(
  path: string,
  { readiness, metrics }: Probes,
  response: ServerResponse,
): Promise<boolean> {
  if (path === '/livez') {
    plain(response, 200, 'ok');
  } else if (path === '/readyz') {
    const findings = Object.entries(readiness).map(([name, check]) => ({ name, wrong: check() }));
    const text = findings.map(({ name, wrong }) => (wrong === undefined ? `${name}: ok` : `${name}: ${wrong}`));
    plain(response, findings.every(({ wrong }) => wrong === undefined) ? 200 : 503, text.join('\n'));
  } else if (path === '/metrics') {
    const text = await metrics.text();
    response.writeHead(200, { 'content-type': metrics.contentType }).end(text);
  } else {
    return false;
  }
  return true;
}

/** Serves the probes of this process on an address of their own. */
export async function serveProbes({ listen, ...probes }: ProbeServerOptions): Promise<ProbeServer> {
  const answer = async (path: string, response: ServerResponse): Promise<void> => {
    if (await answerProbe(path, probes, response)) return;
    plain(response, 404, 'there are /livez, /readyz and /metrics');
  };

  const server = createServer((request, response) => {
    answer(request.url?.replace(/[?].*/, '') ?? '', response).catch((error: unknown) =>
      plain(response, 500, String(error)),
    );
  });
  server.listen(listen.port, listen.host);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function plain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}
