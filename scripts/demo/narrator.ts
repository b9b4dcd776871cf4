const bold = (text: string): string => (process.stdout.isTTY ? `\x1b[1m${text}\x1b[0m` : text);
let step = 0;

export const say = (line: string): void => console.log(line);

/** Begins a step: one line that says what it shows. */
export const show = (what: string): void => say(`\n${bold(`${++step}. ${what}`)}`);

/** Shows a command as a user would type it. */
export const sayCommand = (words: readonly string[]): void =>
  say(`  $ ${words.map((word) => (/[\s{]/.test(word) ? `'${word}'` : word)).join(' ')}`);

/** Shows what a command said. */
export function sayOutput(text: string): void {
  for (const line of text.trimEnd().split('\n')) say(`  ${line}`);
}

/** A step that did not do what it shows ends the demo. */
export function ensure(isTrue: boolean, what: string): void {
  if (!isTrue) throw new Error(`the demo failed: ${what}`);
}
