import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A request that would change something, as the API server noted it. */
export interface AuditedWrite {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly resource: string; readonly namespace?: string; readonly name?: string };
}

const WRITES = ['create', 'update', 'patch', 'delete', 'deletecollection'];

/** Has an API server note all writes, also those that change nothing and those that it refuses. */
export function auditLog(folder: string): {
  readonly args: readonly string[];
  readonly writes: () => readonly AuditedWrite[];
} {
  const [policyFile, logFile] = [join(folder, 'audit-policy.json'), join(folder, 'audit.log')];
  const rules = [{ level: 'Metadata', verbs: WRITES, omitStages: ['RequestReceived'] }, { level: 'None' }];
  writeFileSync(policyFile, JSON.stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules }));
  return {
    args: [`--audit-policy-file=${policyFile}`, `--audit-log-path=${logFile}`],
    writes: () =>
      !existsSync(logFile)
        ? []
        : readFileSync(logFile, 'utf8')
            .split('\n')
            .slice(0, -1)
            .map((line) => JSON.parse(line) as AuditedWrite),
  };
}
