import { rpcClient } from '../grpc/client.ts';
import { PodResourcesLister } from '../protocol/pod-resources.generated.ts';

const TIMEOUT_MS = 5000;
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024; // All IDs of all containers: some hundred KiB, and nothing bounds them.

/** The IDs of a resource that the containers of this node have, as kubelet tells. A kubelet is asked anew each time. */
export async function givenOut(socket: string, resource: string): Promise<readonly string[]> {
  using kubelet = rpcClient(PodResourcesLister, { address: `unix:${socket}`, maxResponseBytes: MAX_RESPONSE_BYTES });
  const { podResources } = await kubelet.List({}, { timeoutMs: TIMEOUT_MS });
  const devices = podResources.flatMap(({ containers }) => containers.flatMap((container) => container.devices));
  return devices.filter(({ resourceName }) => resourceName === resource).flatMap(({ deviceIds }) => deviceIds);
}
