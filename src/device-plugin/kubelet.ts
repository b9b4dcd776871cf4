import { basename, join } from 'node:path';
import { rpcClient } from '../grpc/client.ts';
import { Registration } from '../protocol/device-plugin.generated.ts';
import type { Resource } from './resource.ts';

const API_VERSION = 'v1beta1';
const REGISTER_TIMEOUT_MS = 5000;

export const kubeletSocket = (directory: string): string => join(directory, 'kubelet.sock');

/** Asks kubelet to use what is served at the resource's endpoint. It calls back before it answers. */
export async function register({ name, endpoint, options }: Resource, directory: string): Promise<void> {
  using kubelet = rpcClient(Registration, { address: `unix:${kubeletSocket(directory)}` });
  await kubelet.Register(
    { version: API_VERSION, endpoint: basename(endpoint), resourceName: name, options },
    { timeoutMs: REGISTER_TIMEOUT_MS },
  );
}
