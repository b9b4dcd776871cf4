import { PodResourcesLister } from '../protocol/pod-resources.generated.ts';
import { rpcClient } from './client.ts';

const TIMEOUT_MS = 5000;
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024; // All IDs of all containers: some hundred KiB, and nothing bounds them.

/** One container of this node and the IDs that it has of one resource. */
export interface ContainerIds {
  readonly podNamespace: string;
  readonly podName: string;
  readonly container: string;
  readonly ids: readonly string[];
}

/**
 * Which containers have which IDs of a resource, as kubelet tells. A kubelet is asked anew each time. @throws RpcError:
 * RESOURCE_EXHAUSTED when it was asked more than a hundred times in a second.
 */
export async function containerIds(socket: string, resource: string): Promise<readonly ContainerIds[]> {
  using kubelet = rpcClient(PodResourcesLister, { address: `unix:${socket}`, maxResponseBytes: MAX_RESPONSE_BYTES });
  const { podResources } = await kubelet.List({}, { timeoutMs: TIMEOUT_MS });
  return podResources.flatMap(({ namespace, name, containers }) =>
    containers.map((container) => ({
      podNamespace: namespace,
      podName: name,
      container: container.name,
      ids: container.devices
        .filter(({ resourceName }) => resourceName === resource)
        .flatMap(({ deviceIds }) => deviceIds),
    })),
  );
}

/** The IDs of a resource that any container has. */
export const givenOut = async (socket: string, resource: string): Promise<readonly string[]> =>
  (await containerIds(socket, resource)).flatMap(({ ids }) => ids);
