import { err, ok, type Result } from '../../lib/result.ts';
import type { PodFacts, Refusal, TokenOwner } from './ports.ts';
import type { IssueTicketRequest } from './requests.ts';

/** The node that may be spoken for: that of the agent's own pod, if it is an agent at all. */
export function nodeOf(
  owner: TokenOwner | undefined,
  agents: ReadonlySet<string>,
): Result<string, Refusal & { readonly isKnown: boolean }> {
  if (owner === undefined) {
    const message = 'a ServiceAccount token for the audience aquifer is wanted';
    return err({ reason: 'Unauthenticated', message, isKnown: false });
  }
  const { serviceAccount, node } = owner;
  if (!agents.has(serviceAccount)) {
    return err({ reason: 'NotAnAgent', message: `${serviceAccount} is not an agent of a node`, isKnown: true });
  }
  if (node === undefined) {
    const message = "the token names no node: only one that is projected into an agent's pod does";
    return err({ reason: 'NoNode', message, isKnown: true });
  }
  return ok(node);
}

/**
 * The claim that a container uses, for the agent of its node. A pod of another node is answered like one that does not
 * exist: an agent learns nothing of other nodes.
 */
export function claimOf(
  { podNamespace, podName, podUid, container }: IssueTicketRequest,
  node: string,
  pod: PodFacts | undefined,
): Result<{ readonly namespace: string; readonly name: string }, Refusal> {
  if (pod === undefined || pod.node !== node || pod.uid !== podUid) {
    const message = `there is no pod ${podNamespace}/${podName} with the UID ${podUid} on node ${node}`;
    return err({ reason: 'PodNotFound', message });
  }
  const name = pod.claims.get(container);
  if (name === undefined) {
    const message = `container ${container} of pod ${podNamespace}/${podName} uses no claim`;
    return err({ reason: 'NoClaim', message });
  }
  return ok({ namespace: podNamespace, name });
}
