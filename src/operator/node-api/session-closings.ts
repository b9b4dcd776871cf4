import type { Clock } from '../../lib/clock.ts';
import type { SessionControl } from '../ports.ts';
import type { Closings, ClosingOrder } from './ports.ts';

export interface SessionClosingsDeps {
  readonly clock: Clock;
  /** The nodes that have a vGPU of the claim: sessions of it can be there and nowhere else. */
  readonly nodesOf: (claimUid: string) => readonly string[];
}

interface Closing extends ClosingOrder {
  /** Nodes that have not said that they are done. */
  readonly awaited: Set<string>;
  readonly settle: (outcome: 'closed' | 'pending') => void;
  readonly outcome: Promise<'closed' | 'pending'>;
}

/**
 * Closes the sessions of claims through the agents of their nodes. A node whose agent is away has said nothing, so its
 * sessions count as alive: it is asked as soon as it follows.
 */
export function sessionClosings({
  clock,
  nodesOf,
}: SessionClosingsDeps): SessionControl & { readonly closings: Closings } {
  const underWay = new Map<string, Closing>();
  const followers = new Map<string, Set<(order: ClosingOrder) => void>>();

  const begin = (claimUid: string, nodes: readonly string[], deadline: Date): Closing => {
    const { promise, resolve } = Promise.withResolvers<'closed' | 'pending'>();
    const timer = clock.after(Math.max(0, deadline.getTime() - clock.now().getTime()), () => settle('pending'));
    const settle = (outcome: 'closed' | 'pending'): void => {
      timer[Symbol.dispose]();
      underWay.delete(claimUid);
      resolve(outcome);
    };
    const closing = { claimUid, deadline, awaited: new Set(nodes), settle, outcome: promise };
    underWay.set(claimUid, closing);
    for (const node of nodes) for (const order of followers.get(node) ?? []) order(closing);
    return closing;
  };

  return {
    close(claimUid, deadline) {
      const nodes = nodesOf(claimUid);
      if (nodes.length === 0) return Promise.resolve('closed');
      return (underWay.get(claimUid) ?? begin(claimUid, nodes, deadline)).outcome;
    },
    closings: {
      follow(node, order) {
        const orders = followers.get(node) ?? new Set();
        followers.set(node, orders.add(order));
        for (const closing of underWay.values()) if (closing.awaited.has(node)) order(closing);
        return {
          [Symbol.dispose]() {
            orders.delete(order);
            if (orders.size === 0) followers.delete(node);
          },
        };
      },
      closed(node, claimUid) {
        const closing = underWay.get(claimUid);
        if (closing?.awaited.delete(node) === true && closing.awaited.size === 0) closing.settle('closed');
      },
    },
  };
}
