import type { ApiClient } from './api-client.ts';

/** A flag of a verb, as it is parsed, explained by `--help` and documented. */
export interface Flag {
  /** Without the dashes. */
  readonly name: string;
  readonly short?: string;
  /** What its value is called in the help; a flag without one is true or false. */
  readonly value?: string;
  readonly help: string;
  readonly default?: string;
  readonly repeats?: boolean;
}

/** A command line that fits its verb. */
export interface Input {
  readonly args: readonly string[];
  /** What stands behind `--`. */
  readonly program: readonly string[];
  /** The value of a flag that has one; the last if it was given more than once. */
  text(flag: string): string | undefined;
  texts(flag: string): readonly string[];
  isSet(flag: string): boolean;
}

/** Where a verb's words go, and whom it asks. */
export interface Console {
  /** Writes to standard output. */
  out(text: string): void;
  /** Writes a line to standard error. */
  err(line: string): void;
  readonly api: ApiClient;
  readonly dataDir: string;
  readonly now: () => Date;
  readonly readStdin: () => Promise<string>;
  /** Replaces this process; never returns. */
  readonly exec: (file: string, args: readonly string[], env: Readonly<Record<string, string>>) => never;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted when the user interrupts. */
  readonly signal: AbortSignal;
}

/** How a verb is typed and explained. */
export interface VerbForm {
  readonly name: string;
  /** The program that it is a verb of, where that is not `aquifer`: such a one speaks to no `serve`. */
  readonly program?: string;
  /** What follows the program and NAME. */
  readonly usage: string;
  /** One line for the list of verbs. */
  readonly summary: string;
  readonly details?: string;
  readonly examples: readonly string[];
  readonly flags: readonly Flag[];
  /** Whether everything behind `--` is a program with its arguments. */
  readonly takesProgram?: true;
}

/** A verb of `aquifer`. */
export interface Verb extends VerbForm {
  /** Resolves to the exit code. @throws UsageError, or any other error, whose message is shown. */
  readonly run: (input: Input, console: Console) => Promise<number>;
}
