import { VERSION } from '../lib/version.ts';
import { documentText, outputForm, type OutputForm } from './output.ts';
import { outputFlag } from './flag.ts';
import { CommandError } from './failure.ts';
import type { Console, Input, Verb } from './verb.ts';

const FORMS: readonly OutputForm[] = ['json', 'yaml'];

export const versionVerb: Verb = {
  name: 'version',
  usage: '[flags]',
  summary: 'Show the version of this program and of the running serve',
  examples: ['aquifer version', 'aquifer version --client'],
  flags: [{ name: 'client', help: 'Only the version of this program' }, outputFlag(FORMS)],
  run: runVersion,
};

/** What programs can be run on a vGPU; the README says the same. */
const SUPPORTS = 'driver-API programs only: programs on the CUDA runtime (libcudart) come later';

async function runVersion(input: Input, console: Console): Promise<number> {
  const form = outputForm(input, FORMS);
  const server = input.isSet('client') ? undefined : await serverVersion(console);
  if (form === 'json' || form === 'yaml') {
    console.out(
      documentText(form, { client: VERSION, ...(server === undefined ? {} : { server }), supports: SUPPORTS }),
    );
    return 0;
  }
  console.out(`Client Version: ${VERSION}\n`);
  if (server !== undefined) console.out(`Server Version: ${server}\n`);
  else if (!input.isSet('client')) console.err(`no aquifer serve runs on ${console.dataDir}`);
  console.out(`Supports: ${SUPPORTS}\n`);
  return 0;
}

/** The version of the serve, if one runs: that none does is no failure here. */
async function serverVersion(console: Console): Promise<string | undefined> {
  try {
    const { body } = await console.api.call({ method: 'GET', path: '/version' });
    return (body as { readonly version: string }).version;
  } catch (error) {
    if (error instanceof CommandError) return undefined;
    throw error;
  }
}
