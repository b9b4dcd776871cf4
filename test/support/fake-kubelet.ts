import {
  credentials,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type Client,
  type ClientReadableStream,
  type sendUnaryData,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serviceFromProto } from './proto-service.ts';

const Registration = serviceFromProto('device-plugin.proto', 'v1beta1.Registration');
const DevicePlugin = serviceFromProto('device-plugin.proto', 'v1beta1.DevicePlugin');
const PodResourcesLister = serviceFromProto('pod-resources.proto', 'v1.PodResourcesLister');

export interface KubeletDevice {
  readonly ID: string;
  readonly health: string;
}

/** A registration as kubelet got it. */
export interface Registered {
  readonly resourceName: string;
  readonly endpoint: string;
  readonly version: string;
  readonly options: { readonly preStartRequired: boolean; readonly getPreferredAllocationAvailable: boolean };
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Kubelet's side of the device plugin API, over the real gRPC and real sockets. As kubelet does, it removes every socket
 * beside its own when it starts, dials back whoever registers, and lists what it has given out.
 */
export class FakeKubelet implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'aq-kubelet-'));
  /** All registrations, also those of earlier starts. */
  readonly registrations: Registered[] = [];
  /** The lists that came for a resource since kubelet started, oldest first. */
  readonly lists = new Map<string, (readonly KubeletDevice[])[]>();
  /** What containers have: resource → IDs. `undefined` makes PodResources fail. */
  givenOut: ReadonlyMap<string, readonly string[]> | undefined = new Map();
  /** Whose containers they are. */
  pod = { namespace: 'default', name: 'pod', container: 'main' };
  /** How Register is answered; it may throw. */
  onRegister: (request: Registered) => void = () => undefined;
  #server: Server | undefined;
  readonly #plugins = new Map<string, { readonly client: Client; readonly stream: ClientReadableStream<Json> }>();

  constructor() {
    for (const name of ['device-plugins', 'pod-resources']) mkdirSync(join(this.directory, name));
  }

  get plugins(): string {
    return join(this.directory, 'device-plugins');
  }

  async start(): Promise<void> {
    for (const name of readdirSync(this.plugins)) rmSync(join(this.plugins, name), { force: true });
    this.lists.clear();
    const server = new Server();
    this.#server = server;
    server.addService(Registration, { Register: this.#register });
    server.addService(PodResourcesLister, { List: this.#list });
    for (const path of [join(this.plugins, 'kubelet.sock'), join(this.directory, 'pod-resources/kubelet.sock')]) {
      rmSync(path, { force: true });
      await new Promise<void>((resolve, reject) => {
        const done = (error: Error | null): void => (error === null ? resolve() : reject(error));
        server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), done);
      });
    }
  }

  /** As kill -9 does: connections end, the socket's file stays. */
  kill(): void {
    const socket = join(this.plugins, 'kubelet.sock');
    if (existsSync(socket)) renameSync(socket, `${socket}.kept`);
    this.#server?.forceShutdown();
    this.#server = undefined;
    for (const name of this.#plugins.keys()) this.#drop(name);
    if (existsSync(`${socket}.kept`)) renameSync(`${socket}.kept`, socket);
  }

  async restart(): Promise<void> {
    this.kill();
    await this.start();
  }

  /** The devices of a resource, by health, as the last list said; undefined while nobody serves it. */
  devices(
    resource: string,
  ): { readonly healthy: readonly string[]; readonly unhealthy: readonly string[] } | undefined {
    const list = this.#plugins.has(resource) ? this.lists.get(resource)?.at(-1) : undefined;
    if (list === undefined) return undefined;
    const of = (health: string): string[] => list.filter((device) => device.health === health).map(({ ID }) => ID);
    return { healthy: of('Healthy'), unhealthy: of('Unhealthy') };
  }

  /** Calls a method of the plugin that serves a resource. */
  call(resource: string, method: string, request: Json, deadlineMs = 30_000): Promise<Json> & { cancel(): void } {
    const plugin = this.#plugins.get(resource);
    const definition = DevicePlugin[method];
    if (plugin === undefined || definition === undefined) throw new Error(`nobody serves ${resource} ${method}`);
    const { promise, resolve, reject } = Promise.withResolvers<Json>();
    const call = plugin.client.makeUnaryRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      request,
      { deadline: Date.now() + deadlineMs },
      (error: Error | null, answer?: unknown) => (error === null ? resolve(answer as Json) : reject(error)),
    );
    return Object.assign(promise, { cancel: () => call.cancel() });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  readonly #register = (call: ServerUnaryCall<Registered, Json>, done: sendUnaryData<Json>): void => {
    try {
      this.onRegister(call.request);
    } catch (error) {
      return done(error as Error);
    }
    this.registrations.push(call.request);
    this.#connect(call.request);
    return done(null, {});
  };

  #connect({ resourceName, endpoint }: Registered): void {
    this.#drop(resourceName);
    const Plugin = makeGenericClientConstructor(DevicePlugin, 'DevicePlugin');
    const options = { 'grpc.use_local_subchannel_pool': 1 };
    const client = new Plugin(`unix:${join(this.plugins, endpoint)}`, credentials.createInsecure(), options);
    const watch = client['ListAndWatch'] as unknown as (request: Json) => ClientReadableStream<Json>;
    const stream = watch.call(client, {});
    this.#plugins.set(resourceName, { client, stream });
    const lists: (readonly KubeletDevice[])[] = [];
    this.lists.set(resourceName, lists);
    stream.on('data', ({ devices }: { readonly devices: readonly KubeletDevice[] }) => lists.push(devices));
    const ended = (): void => {
      if (this.#plugins.get(resourceName)?.client === client) this.#drop(resourceName);
    };
    stream.on('error', ended);
    stream.on('end', ended);
  }

  #drop(resource: string): void {
    const plugin = this.#plugins.get(resource);
    this.#plugins.delete(resource);
    plugin?.stream.cancel();
    plugin?.client.close();
  }

  readonly #list = (_: unknown, done: sendUnaryData<Json>): void => {
    if (this.givenOut === undefined) return done(new Error('too many requests'));
    const devices = [...this.givenOut].map(([resourceName, deviceIds]) => ({ resourceName, deviceIds }));
    const { namespace, name, container } = this.pod;
    return done(null, { podResources: [{ name, namespace, containers: [{ name: container, devices }] }] });
  };
}
