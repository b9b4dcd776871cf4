/** Builds what the test cluster runs. */
import { ensureBinaries, type Command } from '../test/cluster/binaries.ts';

console.log(await ensureBinaries(process.argv.slice(2) as Command[]));
