import type { Kinds, VGPUClaim } from '../../api/kinds.ts';
import { isGated, POD_ANNOTATIONS, type Pod, type PodKinds } from '../../api/pod.ts';
import { placeSlices, slicesServed } from '../../core/allocation/slices.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { runController, type Pass } from '../../runtime/controller.ts';
import type { EventSink } from '../../runtime/event-recorder.ts';
import { Informer } from '../../runtime/informer.ts';
import { WorkQueue } from '../../runtime/queue.ts';
import { keyOf, keyText, type Store } from '../../runtime/store.ts';
import { ByClaim } from '../by-claim.ts';
import type { Inventory } from '../inventory.ts';
import type { Informers } from '../wake-ups.ts';
import { asksForSlices } from './ask.ts';
import { podController } from './controller.ts';
import type { World } from './decision.ts';
import { mayGoTo } from './node-fit.ts';
import { ownClaimName } from './own-claim.ts';

export interface PodPartOptions {
  readonly pods: Store<PodKinds>;
  readonly store: Store<Kinds>;
  readonly informers: Pick<Informers, 'claims' | 'nodes'>;
  readonly inventory: Pick<Inventory, 'snapshot'>;
  /** Resolves when all that is not a pod has been read. */
  readonly ready: Promise<void>;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly onPass: ((pass: Pass) => void) | undefined;
}

export interface PodPart {
  readonly informer: Informer<PodKinds, 'Pod'>;
  readonly queue: WorkQueue;
  /** There may be room again: those that wait for slices look, the oldest first. */
  wakeWaiting(): void;
  /** Resolves when all has ended. */
  run(): Promise<void>;
}

/** The part of the operator that sees to pods. It decides nothing before everything has been read. */
export function podPart(options: PodPartOptions): PodPart {
  const { pods, store, events, clock, log, signal, onPass } = options;
  const { claims } = options.informers;
  const informer = new Informer<PodKinds, 'Pod'>({ store: pods, kind: 'Pod', clock, log });
  const queue = new WorkQueue(clock);
  const waiting = new ByClaim(claimsOf);
  const controller = podController({ pods, claims: store, world: worldOf(options), events });
  informer.onChange((change) => {
    waiting.observe(change);
    if (change.after === undefined) controller.forget(change.before);
    queue.add(change.key);
  });
  claims.onChange(({ key }) => {
    for (const pod of waiting.of(key)) queue.add(pod);
  });
  const wakeWaiting = (): void => {
    const sliced = informer.list().filter((pod) => isGated(pod) && asksForSlices(pod));
    for (const pod of sliced.toSorted(byAge)) queue.add(keyText(keyOf(pod)));
  };
  options.informers.nodes.onChange(({ before, after }) => {
    if (before?.status?.slicesOffered !== after?.status?.slicesOffered) wakeWaiting();
  });

  const read = (key: string): Pod | undefined => informer.get(key);
  return {
    informer,
    queue,
    wakeWaiting,
    async run() {
      let isReady = false;
      const following = informer.run(signal);
      const controlling = Promise.all([informer.synced, options.ready]).then(() => {
        isReady = true;
        return runController(controller, {
          queue,
          read,
          clock,
          log,
          signal,
          ...(onPass === undefined ? {} : { onPass }),
        });
      });
      await following; // Until the signal, by which the passes in work are ended too.
      if (isReady) await controlling;
    },
  };
}

/** The claim that it names and the one that may be made for it. */
function claimsOf(pod: Pod): readonly string[] {
  const { namespace, annotations = {} } = pod.metadata;
  const named = annotations[POD_ANNOTATIONS.claim];
  return [ownClaimName(pod), ...(named === undefined ? [] : [named])].map((name) => `${namespace}/${name}`);
}

const byAge = ({ metadata: a }: Pod, { metadata: b }: Pod): number =>
  a.creationTimestamp < b.creationTimestamp ? -1 : a.creationTimestamp > b.creationTimestamp ? 1 : 0;

const worldOf = ({ informers: { claims, nodes }, inventory }: PodPartOptions): World => ({
  claim: (namespace: string, name: string): VGPUClaim | undefined => claims.get(`${namespace}/${name}`),
  isSomewhere: (name: string): boolean => claims.list().some(({ metadata }) => metadata.name === name),
  placeSlices: (pod, { poolName, count }) =>
    placeSlices(inventory.snapshot(), {
      pool: poolName,
      count,
      allows: (name) => mayGoTo(pod, { name, labels: nodes.get(name)?.metadata.labels ?? {} }),
    }),
  offersSlices: (node) => (nodes.get(node)?.status?.slicesOffered ?? 0) >= slicesServed(inventory.snapshot(), node),
});
