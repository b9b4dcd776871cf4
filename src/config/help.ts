import type { z } from 'zod';
import { placeholderOf } from './arguments.ts';
import { settingsOf, type Setting } from './setting.ts';

const WIDTH = 100;

/** Whether a command line asks for help; what stands behind `--` asks for nothing. */
export function wantsHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(0, end === -1 ? argv.length : end).some((argument) => argument === '--help' || argument === '-h');
}

export interface HelpText {
  /** `aquifer serve [flags]` */
  readonly usage: string;
  readonly summary: string;
  readonly examples?: readonly string[];
}

/** The text of `--help`, from the schema of the command. */
export function helpText(schema: z.ZodObject, { usage, summary, examples = [] }: HelpText): string {
  const blocks = [
    ...settingsOf(schema).map(settingHelp),
    '  --config FILE\n      Read settings from this YAML file. [AQUIFER_CONFIG]',
  ];
  return [
    ...wrapped(summary, ''),
    '',
    `Usage: ${usage}`,
    ...(examples.length === 0 ? [] : ['', 'Examples:', ...examples.map((example) => `  ${example}`)]),
    '',
    'Flags (a flag goes before the variable in brackets, that before the file):',
    ...blocks,
    '',
  ].join('\n');
}

function settingHelp(setting: Setting): string {
  const { flag, type, description, variable } = setting;
  const value = type === 'boolean' ? '' : ` ${placeholderOf(setting)}`;
  const text = `${description} ${defaultNote(setting)}[${variable}]`;
  return [`  ${flag}${value}`, ...wrapped(text, '      ')].join('\n');
}

function defaultNote({ defaultText, fallback }: Setting): string {
  const text = fallback?.text ?? defaultText;
  return text === undefined ? '' : `Default: ${text} `;
}

function wrapped(text: string, indent: string): string[] {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(' ')) {
    if (line.length + word.length > WIDTH && line !== indent) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}
