import type { Kinds, VGPUClaim } from '../../api/kinds.ts';
import type { Pod, PodKinds } from '../../api/pod.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { runController, type Pass } from '../../runtime/controller.ts';
import type { EventSink } from '../../runtime/event-recorder.ts';
import { Informer } from '../../runtime/informer.ts';
import { WorkQueue } from '../../runtime/queue.ts';
import type { Store } from '../../runtime/store.ts';
import { podController } from './controller.ts';
import { PodsOfClaims } from './pods-of-claims.ts';

export interface PodPartOptions {
  readonly pods: Store<PodKinds>;
  readonly store: Store<Kinds>;
  readonly claims: Informer<Kinds, 'VGPUClaim'>;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly onPass: ((pass: Pass) => void) | undefined;
}

export interface PodPart {
  readonly informer: Informer<PodKinds, 'Pod'>;
  readonly queue: WorkQueue;
  /** Resolves when all has ended. */
  run(): Promise<void>;
}

/** The part of the operator that sees to pods. It decides nothing before all pods and claims have been read. */
export function podPart({ pods, store, claims, events, clock, log, signal, onPass }: PodPartOptions): PodPart {
  const informer = new Informer<PodKinds, 'Pod'>({ store: pods, kind: 'Pod', clock, log });
  const queue = new WorkQueue(clock);
  const waiting = new PodsOfClaims();
  const controller = podController({ pods, claims: store, world: worldOf(claims), events });
  informer.onChange((change) => {
    waiting.observe(change);
    if (change.after === undefined) controller.forget(change.before);
    queue.add(change.key);
  });
  claims.onChange(({ key }) => {
    for (const pod of waiting.of(key)) queue.add(pod);
  });

  const read = (key: string): Pod | undefined => informer.get(key);
  return {
    informer,
    queue,
    async run() {
      const following = informer.run(signal);
      const controlling = Promise.all([informer.synced, claims.synced]).then(() =>
        runController(controller, { queue, read, clock, log, signal, ...(onPass === undefined ? {} : { onPass }) }),
      );
      await following; // Until the signal, by which the passes in work are ended too.
      if (informer.stats.lists > 0 && claims.stats.lists > 0) await controlling;
    },
  };
}

const worldOf = (claims: Informer<Kinds, 'VGPUClaim'>) => ({
  claim: (namespace: string, name: string): VGPUClaim | undefined => claims.get(`${namespace}/${name}`),
  isSomewhere: (name: string): boolean => claims.list().some(({ metadata }) => metadata.name === name),
});
