import type { CallContext } from '../grpc/server.ts';
import type { Input, Output } from '../lib/protobuf/message.ts';
import type { DevicePlugin } from '../protocol/device-plugin.generated.ts';

type Methods = (typeof DevicePlugin)['methods'];

export type Device = NonNullable<Input<Methods['ListAndWatch']['response']>['devices']>[number];
export type Allocation = NonNullable<Input<Methods['Allocate']['response']>['containerResponses']>[number];
export type Preference = Output<Methods['GetPreferredAllocation']['request']>['containerRequests'][number];
export type Options = Required<Input<Methods['GetDevicePluginOptions']['response']>>;

/** One extended resource as kubelet asks about it: all of it in memory, but for what a container's start waits for. */
export interface Resource {
  /** Such as `aquifer.dev/slot`. */
  readonly name: string;
  /** The file name of its socket, beside kubelet's. */
  readonly endpoint: string;
  readonly options: Options;
  /** All devices, in the same order each time. */
  devices(): readonly Device[];
  /** Calls `listener` whenever `devices` has changed. */
  onChange(listener: () => void): Disposable;
  /** What a container with these IDs gets. @throws RpcError for an ID that is not ours. */
  allocate(ids: readonly string[]): Allocation;
  /** Which IDs we would rather have kubelet take. */
  prefer(wish: Preference): readonly string[];
  /** Done before each start of a container with these IDs. @throws RpcError with what its user should read. */
  preStart(ids: readonly string[], context: CallContext): Promise<void>;
}
