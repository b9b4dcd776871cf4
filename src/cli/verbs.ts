import { applyVerb } from './apply.ts';
import { deleteVerb } from './delete.ts';
import { describeVerb } from './describe.ts';
import { getVerb } from './get.ts';
import { runVerb } from './run.ts';
import { sessionsVerb } from './sessions.ts';
import { ticketVerb } from './ticket.ts';
import type { VerbLine } from './help.ts';
import type { Verb } from './verb.ts';
import { versionVerb } from './version.ts';

/** Every verb of this program: help, parsing and the reference page come from it. */
export const verbs: readonly Verb[] = [
  applyVerb,
  getVerb,
  describeVerb,
  deleteVerb,
  runVerb,
  sessionsVerb,
  ticketVerb,
  versionVerb,
];

/** Its flags are those of its configuration; the launcher hands it to a program of its own. */
const serveLine: VerbLine = {
  name: 'serve',
  summary: 'Pool the GPUs of this host and serve claims, until stopped',
};

export const verbLines: readonly VerbLine[] = [serveLine, ...verbs];
