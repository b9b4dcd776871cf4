import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VGPUClaim } from '../../src/api/kinds.ts';
import type { SessionView } from '../../src/api/session-view.ts';
import { failure } from '../../src/api/status.ts';
import { apiClient } from '../../src/cli/api-client.ts';
import { runCommand } from '../../src/cli/command.ts';
import { createMetrics } from '../../src/metrics/registry.ts';
import { openEmbeddedStore, type EmbeddedStore } from '../../src/embedded/store.ts';
import { ApiFailure } from '../../src/standalone/api-failure.ts';
import { serveApi, type TicketRequest } from '../../src/standalone/api-server.ts';
import type { TicketFile } from '../../src/api/ticket-file.ts';

/** What a command did. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command line against a real API server over a real store, at a fixed time. */
export interface CommandLineFixture extends AsyncDisposable {
  readonly directory: string;
  readonly store: EmbeddedStore;
  readonly sessions: SessionView[];
  /** What `run` would have become. */
  readonly executed: { file: string; args: readonly string[]; env: Readonly<Record<string, string>> }[];
  /** Runs one command. `until` interrupts it once its output has that text, as a user would with ^C. */
  run(words: readonly string[], options?: { readonly stdin?: string; readonly until?: string }): Promise<Ran>;
  /** Lets time pass: `seconds` after the fixture's beginning. */
  setTime(seconds: number): void;
  bind(namespace: string, name: string): Promise<VGPUClaim>;
}

const BEGINNING = Date.parse('2026-01-31T12:00:00Z');

class Executed extends Error {}

export async function commandLineFixture(): Promise<CommandLineFixture> {
  const directory = mkdtempSync(join(tmpdir(), 'aq-cli-'));
  let seconds = 0;
  const now = (): Date => new Date(BEGINNING + seconds * 1000);
  const store = openEmbeddedStore({ directory: join(directory, 'db'), clock: { now } });
  const sessions: SessionView[] = [];
  const executed: CommandLineFixture['executed'] = [];
  const socket = join(directory, 'api.sock');
  const server = await serveApi(socket, {
    store,
    version: '0.1.0',
    sessions: () => sessions,
    issueTicket: (request) => Promise.resolve(ticketFor(request)),
    attach: ({ namespace, name }) =>
      Promise.resolve({ socket: `/sockets/${namespace}.${name}.sock`, libraries: '/prefix/lib/aquifer/client' }),
    probes: { readiness: { gpus: () => 'none was seen' }, metrics: createMetrics() },
    failed: (err) => {
      throw err;
    },
  });

  return {
    directory,
    store,
    sessions,
    executed,
    async run(words, { stdin = '', until } = {}) {
      const interrupt = new AbortController();
      let [stdout, stderr] = ['', ''];
      const look = (): void => {
        if (until !== undefined && (stdout + stderr).includes(until)) interrupt.abort();
      };
      const writers = {
        out: (text: string) => ((stdout += text), look()),
        err: (line: string) => ((stderr += `${line}\n`), look()),
      };
      const code = await runCommand(words, writers, (dataDir) => ({
        ...writers,
        api: apiClient(dataDir === undefined ? socket : join(dataDir, 'run', 'api.sock'), dataDir ?? '/data'),
        dataDir: join(directory, 'data'),
        now,
        readStdin: () => Promise.resolve(stdin),
        exec(file, args, env) {
          executed.push({ file, args, env });
          throw new Executed('became the program');
        },
        env: { PATH: '/usr/bin:/bin' },
        signal: interrupt.signal,
      }));
      return { code, stdout, stderr };
    },
    setTime: (value) => void (seconds = value),
    bind: (namespace, name) => bind(store, namespace, name),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      store[Symbol.dispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function ticketFor({ claim, holderKey, expiresSeconds, addresses = ['gpu-1:9960'] }: TicketRequest): TicketFile {
  if (claim.name !== 'trainer') {
    throw new ApiFailure(failure(404, 'NotFound', `vgpuclaims.aquifer.dev "${claim.name}" not found`));
  }
  return {
    apiVersion: 'aquifer.dev/v1alpha1',
    kind: 'Ticket',
    metadata: { name: claim.name, namespace: claim.namespace ?? '' },
    ca: 'PEM',
    endpoints: addresses.map((address) => ({ node: 'gpu-1', address })),
    ticket: `jws ${holderKey ?? 'unbound'} ${expiresSeconds ?? 'default'}`,
  };
}

/** Gives a claim what the operator would. */
function bind(store: EmbeddedStore, namespace: string, name: string): Promise<VGPUClaim> {
  const status = {
    phase: 'Bound',
    observedGeneration: 1,
    allocations: [{ vgpu: 0, node: 'gpu-1', gpu: 'GPU-1', memory: '2Gi', compute: 30, endpoint: 'gpu-1:9960' }],
    conditions: [
      {
        type: 'Bound',
        status: 'True',
        reason: 'Bound',
        message: 'bound to GPU-1 of gpu-1',
        lastTransitionTime: '2026-01-31T12:00:00Z',
      },
    ],
  };
  return store.patch('VGPUClaim', { namespace, name }, { status }, { subresource: 'status' });
}
