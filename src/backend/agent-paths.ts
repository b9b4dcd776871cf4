import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** Where the processes of a node meet. */
export interface AgentPaths {
  /** Ours, for the connector. */
  readonly agentSocket: string;
  /** Ours, for the gateway. */
  readonly backendSocket: string;
  readonly gatewaySocket: string;
  readonly devicePluginSocket: string;
  readonly ledgers: string;
  readonly turns: string;
  readonly softwareGpus: string;
}

export const agentPaths = (runDir: string): AgentPaths => ({
  agentSocket: join(runDir, 'agent.sock'),
  backendSocket: join(runDir, 'backend.sock'),
  gatewaySocket: join(runDir, 'gateway.sock'),
  devicePluginSocket: join(runDir, 'device-plugin.sock'),
  ledgers: join(runDir, 'ledger'),
  turns: join(runDir, 'turns'),
  softwareGpus: join(runDir, 'softgpu'),
});

/** Makes what is missing. What is in the run directory is root's; containers see their slots alone, by mounts. */
export function makeAgentPaths(runDir: string, { ledgers, turns, softwareGpus }: AgentPaths): void {
  for (const directory of [runDir, ledgers, turns, softwareGpus]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    chmodSync(directory, 0o700);
  }
}
