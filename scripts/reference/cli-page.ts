import { callOf, flagsOf } from '../../src/cli/command-line.ts';
import { kubectlTicketForm } from '../../src/cli/kubectl/ticket-form.ts';
import { flagForm, flagText } from '../../src/cli/help.ts';
import type { VerbForm } from '../../src/cli/verb.ts';
import { verbLines, verbs } from '../../src/cli/verbs.ts';

/** The reference page of the command line, as Markdown. */
export function cliPage(): string {
  return `# The command line

Generated from \`src/cli/verbs.ts\`; do not edit. The settings of \`aquifer serve\` are in [configuration.md](configuration.md).

Verbs, flags, output and messages are those of kubectl wherever both have them. Exit codes: 0 done, 1 failed, 2 the command
line was not understood. \`aquifer run\` ends with the code of its program.

${table(
  verbLines.map(({ name, summary }) => [`\`${name}\``, summary]),
  ['verb', 'does'],
)}
${[...verbs, kubectlTicketForm].map(section).join('\n')}`;
}

function section(verb: VerbForm): string {
  const flags = flagsOf(verb).map((flag) => [`\`${flagForm(flag).trim()}\``, flagText(flag)]);
  return `## ${callOf(verb)}

${verb.summary}.${verb.details === undefined ? '' : ` ${verb.details.replaceAll('\n', ' ')}`}

\`\`\`
${callOf(verb)} ${verb.usage}
\`\`\`

${table(flags, ['flag', 'meaning'])}
\`\`\`sh
${verb.examples.join('\n')}
\`\`\`
`;
}

/** Padded as prettier pads it, so that a formatted tree stays as it is. */
function table(rows: readonly (readonly string[])[], header: readonly string[]): string {
  const escaped = rows.map((row) => row.map((text) => text.replaceAll('|', '\\|')));
  const widths = header.map((title, i) => Math.max(title.length, ...escaped.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((text, i) => text.padEnd(widths[i] ?? 0)).join(' | ')} |\n`;
  return line(header) + line(widths.map((width) => '-'.repeat(width))) + escaped.map(line).join('');
}
