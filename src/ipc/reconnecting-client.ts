import { connectLines, type LineClient, type LineClientOptions } from './line-client.ts';

/** A connection that is made when it is needed, and again after it was lost. */
export interface ReconnectingClient extends Disposable {
  /** @throws Error when nobody listens. */
  get(): Promise<LineClient>;
}

export function reconnectingClient(options: LineClientOptions): ReconnectingClient {
  let current: Promise<LineClient> | undefined;
  const forget = (): void => {
    current = undefined;
  };
  return {
    get() {
      current ??= connectLines({ ...options, onClose: forget }).catch((error: unknown) => {
        forget();
        throw error;
      });
      return current;
    },
    [Symbol.dispose]() {
      current?.then((client) => client.close()).catch(() => undefined);
      current = undefined;
    },
  };
}
