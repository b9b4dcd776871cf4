// Puts the client libraries of this image where pods get them from, whole or not at all, and leaves alone what is there:
// programs have it mapped.
const { cpSync, existsSync, mkdirSync, renameSync, rmSync } = require('node:fs');
const { dirname } = require('node:path');

const [from, to] = process.argv.slice(1);
const made = `${to}.new`;
if (!existsSync(to)) {
  rmSync(made, { recursive: true, force: true });
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, made, { recursive: true });
  renameSync(made, to);
}
