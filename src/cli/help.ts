import { callOf, flagsOf } from './command-line.ts';
import type { Flag, Verb, VerbForm } from './verb.ts';

/** The help of the program: all its verbs. */
export function programHelp(verbs: readonly VerbLine[]): string {
  const width = Math.max(...verbs.map(({ name }) => name.length));
  const lines = verbs.map(({ name, summary }) => `  ${name.padEnd(width)}   ${summary}`);
  return [
    'Aquifer pools GPUs: any CUDA program draws a vGPU from them.',
    '',
    'Usage: aquifer VERB [flags]',
    '',
    ...lines,
    '',
    "See 'aquifer VERB --help' for what a verb does and takes.",
    '',
  ].join('\n');
}

/** What the list of verbs says of one. */
export type VerbLine = Pick<Verb, 'name' | 'summary'>;

/** The help of one verb. */
export function verbHelp(verb: VerbForm): string {
  const flags = flagsOf(verb).map((flag) => [flagForm(flag), flagText(flag)] as const);
  const width = Math.max(...flags.map(([form]) => form.length));
  return [
    verb.summary,
    ...(verb.details === undefined ? [] : ['', verb.details]),
    '',
    `Usage: ${callOf(verb)} ${verb.usage}`.trimEnd(),
    '',
    'Examples:',
    ...verb.examples.map((example) => `  ${example}`),
    '',
    'Flags:',
    ...flags.map(([form, text]) => `  ${form.padEnd(width)}   ${text}`),
    '',
  ].join('\n');
}

/** `-n, --namespace NAMESPACE`. */
export const flagForm = ({ short, name, value }: Flag): string =>
  `${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;

/** What a flag does, and what holds without it. */
export const flagText = ({ help, default: otherwise }: Flag): string =>
  otherwise === undefined ? help : `${help} (default ${otherwise})`;
