import type { Kinds, VGPUClaim } from '../../api/kinds.ts';
import type { Pod, PodKinds } from '../../api/pod.ts';
import { assertNever } from '../../lib/assert-never.ts';
import { done, retryAfter, type Controller, type Outcome } from '../../runtime/controller.ts';
import type { EventSink } from '../../runtime/event-recorder.ts';
import { isStoreError, keyOf, type Draft, type EventDraft, type Store } from '../../runtime/store.ts';
import { decide } from './decide.ts';
import type { World } from './decision.ts';
import { ungatePatch } from './ungate.ts';

const NEWS_MS = 1000; // A claim that is there already, and not known to us, is on its way.

export interface PodDeps {
  readonly pods: Pick<Store<PodKinds>, 'patch'>;
  readonly claims: Pick<Store<Kinds>, 'create' | 'delete'>;
  readonly world: World;
  readonly events: EventSink;
}

export interface PodController extends Controller<Pod> {
  /** The pod is gone. */
  forget(pod: Pod | undefined): void;
}

/** Makes claims for pods that ask for one of their own, and lets pods be scheduled when their claim is bound. */
export function podController(deps: PodDeps): PodController {
  const told = new Map<string, string>();
  /** Tells a pod's author something that is new since it was last told. */
  const tell = (pod: Pod, event: EventDraft): void => {
    const text = `${event.reason}: ${event.message}`;
    if (told.get(pod.metadata.uid) === text) return;
    told.set(pod.metadata.uid, text);
    deps.events.record(referenceTo(pod), event);
  };

  return {
    name: 'pod',
    concurrency: 16,
    forget: (pod) => void told.delete(pod?.metadata.uid ?? ''),

    async reconcile(pod) {
      const decision = decide(pod, deps.world);
      switch (decision.kind) {
        case 'Rest':
          told.delete(pod.metadata.uid);
          return done;
        case 'Wait': {
          const { reason, message } = decision;
          tell(pod, { type: 'Warning', reason, message });
          return done;
        }
        case 'MakeClaim':
          return makeClaim(deps, decision.draft, (message) =>
            tell(pod, { type: 'Warning', reason: 'InvalidRequest', message }),
          );
        case 'DropClaim':
          return dropClaim(deps, decision.claim);
        case 'Ungate':
          return ungate(deps, pod, decision.claim);
        default:
          return assertNever(decision);
      }
    },
  };
}

async function makeClaim({ claims }: PodDeps, draft: Draft, refused: (message: string) => void): Promise<Outcome> {
  try {
    await claims.create('VGPUClaim', draft);
    return done;
  } catch (error) {
    if (isStoreError(error, 'AlreadyExists')) return retryAfter(NEWS_MS);
    if (!isStoreError(error, 'Invalid')) throw error;
    refused(error.message);
    return done;
  }
}

async function dropClaim({ claims }: PodDeps, { metadata }: VGPUClaim): Promise<Outcome> {
  try {
    await claims.delete('VGPUClaim', keyOf({ metadata, apiVersion: '', kind: '' }), { uid: metadata.uid });
  } catch (error) {
    if (!isStoreError(error, 'NotFound') && !isStoreError(error, 'Conflict')) throw error;
  }
  return done;
}

async function ungate({ pods, events }: PodDeps, pod: Pod, claim: VGPUClaim): Promise<Outcome> {
  const nodes = [...new Set((claim.status?.allocations ?? []).map(({ node }) => node))];
  const bound = claim.spec.access === 'Local';
  const { resourceVersion } = pod.metadata;
  try {
    await pods.patch('Pod', keyOf(pod), ungatePatch(pod, { nodes, bound }), { resourceVersion });
  } catch (error) {
    if (isStoreError(error, 'NotFound')) return done;
    throw error;
  }
  const where = bound ? ' there, and nowhere else: the claim has access Local' : '';
  const message = `claim ${claim.metadata.name} has its vGPUs on ${nodes.join(' and ')}: the pod may be scheduled${where}`;
  events.record(referenceTo(pod), { type: 'Normal', reason: 'ClaimBound', message });
  return done;
}

const referenceTo = ({ metadata: { namespace, name, uid } }: Pod) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  namespace,
  name,
  uid,
});
