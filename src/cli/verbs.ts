import { applyVerb } from './apply.ts';
import { deleteVerb } from './delete.ts';
import { describeVerb } from './describe.ts';
import { getVerb } from './get.ts';
import { guestVerb } from './guest/verb.ts';
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
  guestVerb,
  sessionsVerb,
  ticketVerb,
  versionVerb,
];

/** Their flags are those of their configuration; the launcher hands each to a program of its own. */
const programLines: readonly VerbLine[] = [
  { name: 'serve', summary: 'Pool the GPUs of this host and serve claims, until stopped' },
  { name: 'operator', summary: 'Pool the GPUs of a Kubernetes cluster; for pods, not for people' },
  {
    name: 'backend',
    summary: "Have the tickets of a node's containers, and serve its GPUs; for pods, not for people",
  },
  { name: 'device-plugin', summary: "Offer a node's slots and slices to its kubelet; for pods, not for people" },
];

export const verbLines: readonly VerbLine[] = [...programLines, ...verbs];
