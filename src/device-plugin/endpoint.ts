import { chmodSync, rmSync } from 'node:fs';
import { serveRpc, type Handlers, type RpcServer } from '../grpc/server.ts';
import { DevicePlugin } from '../protocol/device-plugin.generated.ts';
import type { Resource } from './resource.ts';

export interface Endpoint extends AsyncDisposable {
  /** How many streams of ListAndWatch are open. */
  readonly watchers: () => number;
}

export interface EndpointOptions {
  readonly socket: string;
  readonly onWatchersChange: () => void;
  readonly onAllocated: () => void;
  readonly failed: (err: unknown) => void;
}

/** Serves one resource to kubelet, in place of whatever lies at the socket's path. */
export async function serveEndpoint(
  resource: Resource,
  { socket, onWatchersChange, onAllocated, failed }: EndpointOptions,
): Promise<Endpoint> {
  let watchers = 0;
  const count = (change: number): void => {
    watchers += change;
    onWatchersChange();
  };
  rmSync(socket, { force: true });
  const server: RpcServer = await serveRpc(DevicePlugin, handlersOf(resource, count, onAllocated), {
    address: `unix:${socket}`,
    failed,
  });
  chmodSync(socket, 0o600);
  return { watchers: () => watchers, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

type PluginHandlers = Handlers<(typeof DevicePlugin)['methods']>;

function handlersOf(resource: Resource, count: (change: number) => void, onAllocated: () => void): PluginHandlers {
  return {
    GetDevicePluginOptions: () => resource.options,

    async ListAndWatch(_, { send, over }) {
      send({ devices: resource.devices() });
      using _changes = resource.onChange(() => send({ devices: resource.devices() }));
      count(1);
      await over;
      count(-1);
    },

    GetPreferredAllocation: ({ containerRequests }) => ({
      containerResponses: containerRequests.map((wish) => ({ deviceIDs: resource.prefer(wish) })),
    }),

    Allocate: ({ containerRequests }) => ({
      containerResponses: containerRequests.map(({ devicesIds }) => {
        const allocation = resource.allocate(devicesIds);
        onAllocated();
        return allocation;
      }),
    }),

    async PreStartContainer({ devicesIds }, context) {
      await resource.preStart(devicesIds, context);
      return {};
    },
  };
}
