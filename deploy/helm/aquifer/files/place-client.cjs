// Puts the client libraries of this image where pods get them from, and the container hook beside them, whole or not at all,
// and leaves alone what is there: programs have it mapped.
const { copyFileSync, cpSync, existsSync, mkdirSync, renameSync, rmSync } = require('node:fs');
const { basename, dirname, join } = require('node:path');

const [libraries, hook, to] = process.argv.slice(1);
const made = `${to}.new`;
if (!existsSync(to)) {
  rmSync(made, { recursive: true, force: true });
  mkdirSync(dirname(to), { recursive: true });
  cpSync(libraries, made, { recursive: true });
  copyFileSync(hook, join(made, basename(hook)));
  renameSync(made, to);
}
