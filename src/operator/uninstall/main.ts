import type { Kinds } from '../../api/kinds.ts';
import { connect } from '../../kube/connection.ts';
import { loadKubeConfig } from '../../kube/load-config.ts';
import { kindResources } from '../../kube/resource.ts';
import { kubeStore } from '../../kube/store.ts';
import { systemClock } from '../../runtime/system-clock.ts';
import { inUse } from './in-use.ts';

// What `helm uninstall` runs before anything is deleted, with the release's name, namespace and revision: it fails while claims
// are in use, and when it cannot know.
const [name = '', namespace = '', revision = ''] = process.argv.slice(2);
try {
  using connection = connect({ loadConfig: () => loadKubeConfig(undefined), clock: systemClock });
  const common = { connection, clock: systemClock, manager: 'aquifer-uninstall' };
  const { items } = await kubeStore<Kinds>({ ...common, resources: kindResources }).list('VGPUClaim');
  const reason = inUse(items, { name, namespace, revision });
  process.stdout.write(`${reason ?? `none of ${items.length} claims is in use`}\n`);
  process.exitCode = reason === undefined ? 0 : 1;
} catch (error) {
  process.stdout.write(
    `cannot tell whether claims are in use: ${error instanceof Error ? error.message : String(error)}\n`,
  );
  process.exitCode = 1;
}
