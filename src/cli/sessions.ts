import { formatBytes } from '../api/quantity.ts';
import type { SessionView } from '../api/session-view.ts';
import { formatAge } from '../lib/duration.ts';
import { allNamespacesFlag, namespaceFlag, outputFlag } from './flag.ts';
import { documentText, outputForm, type OutputForm } from './output.ts';
import { aligned } from './table.ts';
import { UsageError } from './failure.ts';
import type { Console, Input, Verb } from './verb.ts';

const FORMS: readonly OutputForm[] = ['wide', 'json', 'yaml', 'name'];

export const sessionsVerb: Verb = {
  name: 'sessions',
  usage: '[CLAIM] [flags]',
  summary: 'Show the programs that run on vGPUs now, and what they use',
  examples: ['aquifer sessions', 'aquifer sessions trainer -o json', 'aquifer sessions -A'],
  flags: [namespaceFlag, allNamespacesFlag, outputFlag(FORMS)],
  run: runSessions,
};

async function runSessions(input: Input, console: Console): Promise<number> {
  const form = outputForm(input, FORMS);
  const [claim, ...more] = input.args;
  if (more.length > 0) throw new UsageError('at most one claim may be named');
  const { body } = await console.api.call({ method: 'GET', path: '/sessions' });
  const everywhere = input.isSet('all-namespaces');
  const namespace = input.text('namespace') ?? 'default';
  const sessions = (body as { readonly items: readonly SessionView[] }).items.filter(
    (session) => (everywhere || session.namespace === namespace) && (claim === undefined || session.claim === claim),
  );
  if (form === 'json' || form === 'yaml') console.out(documentText(form, { items: sessions }));
  else if (form === 'name') for (const { session } of sessions) console.out(`${session}\n`);
  else if (sessions.length === 0) console.err(everywhere ? 'No sessions' : `No sessions in ${namespace} namespace.`);
  else console.out(aligned(rows(sessions, { wide: form === 'wide', everywhere, now: console.now() })));
  return 0;
}

interface RowOptions {
  readonly wide: boolean;
  readonly everywhere: boolean;
  readonly now: Date;
}

function rows(sessions: readonly SessionView[], { wide, everywhere, now }: RowOptions): readonly (readonly string[])[] {
  const header = ['CLAIM', 'SESSION', 'PID', 'PROGRAM', 'CHANNEL', 'MEMORY', 'COMPUTE', 'AGE'];
  const row = (session: SessionView): readonly string[] => [
    ...(everywhere ? [session.namespace] : []),
    session.claim,
    wide ? session.session : session.session.slice(0, 12),
    String(session.pid ?? ''),
    session.program ?? '',
    session.state === 'Connected' ? session.channel : `${session.channel} (lost)`,
    memoryOf(session),
    computeOf(session),
    formatAge(now.getTime() - Date.parse(session.startedAt)),
    ...(wide
      ? [
          session.vgpus.map(({ gpu }) => gpu).join(','),
          session.peer ?? '',
          containerOf(session),
          String(session.resumes),
        ]
      : []),
  ];
  const wideHeader = wide ? ['GPU', 'PEER', 'CONTAINER', 'RESUMES'] : [];
  return [[...(everywhere ? ['NAMESPACE'] : []), ...header, ...wideHeader], ...sessions.map(row)];
}

const containerOf = ({ container }: SessionView): string =>
  container === undefined
    ? ''
    : container.id.slice(0, 12) + (container.share === undefined ? '' : `:${container.share}`);

function memoryOf({ vgpus }: SessionView): string {
  const used = vgpus.reduce((sum, vgpu) => sum + vgpu.memoryBytes, 0);
  const limit = vgpus.reduce((sum, vgpu) => sum + vgpu.memoryLimitBytes, 0);
  return `${mebibytes(used)}/${formatBytes(limit)}`;
}

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)}Mi`;

/** Of each vGPU: what it uses of the GPU's time, and its cap. */
const computeOf = ({ vgpus }: SessionView): string =>
  vgpus
    .map(({ utilizationPercent, computePercent }) => `${Math.round(utilizationPercent)}%/${computePercent}%`)
    .join(',');
