import type { ReconnectingClient } from '../ipc/reconnecting-client.ts';
import type { Clock } from '../lib/clock.ts';
import { jsonEqual } from '../lib/json-equal.ts';
import type { Log } from '../lib/log.ts';
import { backoffMs } from '../runtime/backoff.ts';

/** How many slices the GPUs of this node make, and how many of them are promised to claims that no slices serve. */
export interface SliceSupply {
  readonly capacity: number;
  readonly withdrawn: number;
}

export interface SlicePublisherDeps {
  /** The device plugin of this node. */
  readonly plugin: Pick<ReconnectingClient, 'get'>;
  /** It tells kubelet this now. Called at each repetition too. */
  readonly told: (supply: SliceSupply) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface SlicePublisher extends AsyncDisposable {
  /** Says what there is from now on; the latest counts. */
  publish(supply: SliceSupply): void;
}

/** A plugin that was replaced goes on with what it was told last; so late it hears anew what is true. */
const REPEAT_MS = 10_000;
const RETRY = { baseMs: 100, capMs: 5000 };

/** Tells the device plugin how many slices there are: at each change, now and then, and again where it was away. */
export function slicePublisher({ plugin, told: onTold, clock, log }: SlicePublisherDeps): SlicePublisher {
  let latest: SliceSupply | undefined;
  let told: SliceSupply | undefined;
  let failures = 0;
  let timer: Disposable | undefined;
  let telling: Promise<void> | undefined;
  let stopped = false;

  const tell = async (): Promise<void> => {
    const supply = latest;
    if (supply === undefined) return;
    try {
      await (await plugin.get()).request('publishSlices', { ...supply });
      if (failures > 0) log.info('device plugin is back');
      failures = 0;
      told = supply;
      onTold(supply);
    } catch (err) {
      if (failures === 0) log.warn('device plugin does not take the number of slices', { err });
      failures++;
    }
    telling = undefined;
    if (stopped) return;
    if (failures === 0 && !jsonEqual(latest, told)) start();
    else timer = clock.after(failures === 0 ? REPEAT_MS : backoffMs(failures, RETRY), start);
  };

  function start(): void {
    timer?.[Symbol.dispose]();
    telling ??= tell();
  }

  return {
    publish(supply) {
      const isNews = !jsonEqual(latest, supply);
      latest = supply;
      if (isNews && !stopped) start();
    },
    async [Symbol.asyncDispose]() {
      stopped = true;
      timer?.[Symbol.dispose]();
      await telling;
    },
  };
}
