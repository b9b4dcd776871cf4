import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { operatorClient, type OperatorClient } from '../../src/grpc/operator-client.ts';
import { ok, type Result } from '../../src/lib/result.ts';
import { openAuthority } from '../../src/operator/pki/authority.ts';
import { directoryKeys } from '../../src/operator/pki/key-store.ts';
import { serverIdentity } from '../../src/operator/pki/server-identity.ts';
import type { Leader, PodFacts, SessionReport, TokenOwner } from '../../src/operator/node-api/ports.ts';
import { serveNodeApi } from '../../src/operator/node-api/server.ts';
import { sessionClosings } from '../../src/operator/node-api/session-closings.ts';
import type { ClaimRefusal } from '../../src/operator/ticket/claim-gate.ts';
import { ticketIssuer } from '../../src/operator/ticket/issuer.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import type { VGPUClaim } from '../../src/api/kinds.ts';
import { boundTo, claim, recordingLog } from './builders.ts';

const SERVER_NAME = 'aquifer-operator';
export const AGENT = 'aquifer-system/aquifer-node';

export const newHolderKey = (): string =>
  String(generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' })['x']);

/** Two replicas of an operator on loopback TLS, of which one leads, over tokens, pods and claims that a test sets. */
export async function startOperators() {
  const directory = mkdtempSync(join(tmpdir(), 'aq-node-api-'));
  const authority = await openAuthority({ keys: directoryKeys(directory), clock: systemClock });
  const tls = await serverIdentity(authority, SERVER_NAME);
  const tokens = new Map<string, TokenOwner>();
  const pods = new Map<string, PodFacts>();
  const nodesOfClaim = new Map<string, readonly string[]>();
  const reports: (SessionReport & { readonly node: string })[] = [];
  const world = {
    leader: 0 as number | undefined,
    reviews: 0,
    apiIsAway: false,
    claimForTicket: (): Result<VGPUClaim, ClaimRefusal> => ok(claim('trainer', { status: boundTo('GPU-a') })),
  };
  const log = recordingLog();
  const sessions = sessionClosings({ clock: systemClock, nodesOf: (uid) => nodesOfClaim.get(uid) ?? [] });
  let lose = Promise.withResolvers<void>();
  const leading = (): Leader => ({
    issuer,
    closings: sessions.closings,
    lost: lose.promise,
    report: (node, report) => reports.push({ node, ...report }),
  });
  const issuer = ticketIssuer({
    issuer: authority.id,
    key: authority.ticketKey,
    acceptedKeys: authority.ticketKeys,
    epoch: 7,
    ledger: { claim: () => Promise.resolve('first') },
    clock: systemClock,
    claimForTicket: () => world.claimForTicket(),
    newId: () => 'id',
  });

  const serve = (replica: number) =>
    serveNodeApi({
      address: '127.0.0.1:0',
      tls,
      agents: new Set([AGENT]),
      reviews: {
        review(token) {
          world.reviews++;
          return world.apiIsAway ? Promise.reject(new Error('no route')) : Promise.resolve(tokens.get(token));
        },
      },
      pods: { get: (namespace, name) => Promise.resolve(pods.get(`${namespace}/${name}`)) },
      enrolments: {
        caPem: authority.caPem,
        async enrol(csrPem, node) {
          const signed = await authority.signServer(csrPem, node);
          if (!signed.ok) return signed;
          return ok({ certificatePem: signed.value, ticketKeys: authority.ticketKeys, epoch: 7 });
        },
      },
      leader: () => (world.leader === replica ? leading() : undefined),
      clock: systemClock,
      log,
    });
  const replicas = [await serve(0), await serve(1)];
  const address = `ipv4:${replicas.map(({ port }) => `127.0.0.1:${port}`).join(',')}`;
  const stopped = new AbortController();
  const clients: OperatorClient[] = [];

  return {
    authority,
    tokens,
    pods,
    nodesOfClaim,
    reports,
    world,
    close: (claimUid: string, deadline: Date) => sessions.close(claimUid, deadline),
    address,
    replicas,
    log,
    /** A client that shows this token. */
    client(token: string, more: Partial<Parameters<typeof operatorClient>[0]> = {}): OperatorClient {
      const made = operatorClient({
        address,
        caPem: authority.caPem,
        serverName: SERVER_NAME,
        token: () => Promise.resolve(`${token}\n`),
        clock: systemClock,
        signal: stopped.signal,
        patienceMs: 3000,
        ...more,
      });
      clients.push(made);
      return made;
    },
    /** Another replica leads from now on; those who follow the one that did are told. */
    leads(replica: number | undefined): void {
      world.leader = replica;
      lose.resolve();
      lose = Promise.withResolvers<void>();
    },
    async [Symbol.asyncDispose]() {
      stopped.abort();
      for (const client of clients) client[Symbol.dispose]();
      await Promise.all(replicas.map((replica) => replica[Symbol.asyncDispose]()));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
