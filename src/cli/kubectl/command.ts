import { parseCommandLine } from '../command-line.ts';
import { UsageError } from '../failure.ts';
import { verbHelp } from '../help.ts';
import { exitCodeOf, problemText } from '../problem-text.ts';
import { KUBECTL_AQUIFER, kubectlTicketForm } from './ticket-form.ts';
import { runTicket, type KubectlConsole } from './ticket.ts';

/** Runs one command line of the plugin. Resolves to the exit code: 1 failure, 2 usage. */
export async function runKubectlCommand(words: readonly string[], console: KubectlConsole): Promise<number> {
  const [name, ...rest] = words;
  if (name === undefined) {
    console.err(help());
    return 2;
  }
  try {
    if (name === '--help' || name === '-h' || name === 'help') {
      console.out(help());
      return 0;
    }
    if (name !== kubectlTicketForm.name) throw unknown(name);
    const input = parseCommandLine(kubectlTicketForm, rest);
    if (input.isSet('help')) console.out(help());
    else await runTicket(input, console);
    return 0;
  } catch (error) {
    console.err(`${problemText(error)}${rightsHint(error)}`);
    return exitCodeOf(error);
  }
}

const help = (): string => verbHelp(kubectlTicketForm);

const unknown = (name: string): UsageError =>
  new UsageError(
    `unknown command ${JSON.stringify(name)} for "${KUBECTL_AQUIFER}": it has "${kubectlTicketForm.name}" alone; ` +
      `kubectl itself does the rest, such as "kubectl get vgpuclaims"`,
  );

/** The API server names the right that is missing; what is told here is who has all of them. */
function rightsHint(error: unknown): string {
  const isForbidden = error instanceof Error && error.message.includes(' is forbidden: ');
  if (!isForbidden) return '';
  return (
    '\nIt takes the rights to get vgpuclaims and to create, list, watch and delete ticketrequests in that namespace: ' +
    'the ClusterRole "edit" has them.'
  );
}
