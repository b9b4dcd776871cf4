import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** Where `serve` keeps everything, unless told otherwise: the user's state directory (XDG base directories). */
export function dataDirectory(flag: string | undefined, env: Environment): string {
  const said = flag ?? env['AQUIFER_DATA_DIR'];
  if (said !== undefined && said !== '') return resolve(said);
  const state = env['XDG_STATE_HOME'];
  // The standard says that a path which is not absolute is to be ignored.
  return join(state?.startsWith('/') === true ? state : join(homedir(), '.local', 'state'), 'aquifer');
}
