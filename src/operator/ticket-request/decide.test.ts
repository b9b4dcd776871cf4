import { describe, expect, test } from '@jest/globals';
import { boundTo, claim, ticketRequest } from '../../../test/support/builders.ts';
import { err, ok } from '../../lib/result.ts';
import type { Ticket, TicketRefusal, TicketWish } from '../ticket/issuer.ts';
import { decide, type Decision, type World } from './decide.ts';

const now = new Date('2026-01-01T00:00:00Z');
const ticket = { text: 'a.b.c', claim: claim('trainer', { status: boundTo() }) } as Ticket;

const world = (more: Partial<World> = {}): World => ({ now, ca: 'PEM', sign: () => ok(ticket), ...more });

const refusing = (reason: TicketRefusal['reason']): World =>
  world({ sign: () => err({ reason, message: 'why not' } as TicketRefusal) });

const refused = (reason: string) => ({
  conditions: [
    {
      type: 'Issued',
      status: 'False' as const,
      reason,
      message: 'why not',
      observedGeneration: 1,
      lastTransitionTime: now.toISOString(),
    },
  ],
});

describe('a request for a ticket', () => {
  test('is answered with the ticket, where its gateways are and what they are known by', () => {
    const wishes: TicketWish[] = [];
    const sign = (wish: TicketWish) => {
      wishes.push(wish);
      return ok(ticket);
    };
    expect(decide(ticketRequest(), world({ sign }))).toEqual({
      kind: 'Answer',
      status: {
        ticket: 'a.b.c',
        ca: 'PEM',
        endpoints: [{ node: 'gpu-1', address: 'gpu-1:9960' }],
        conditions: [expect.objectContaining({ type: 'Issued', status: 'True', reason: 'Issued' })],
      },
    });
    expect(wishes).toEqual([
      { claim: { namespace: 'team-a', name: 'trainer' }, holderKey: 'A'.repeat(43), lifetimeSeconds: 600 },
    ]);
  });

  test('that belongs to a claim is for that one alone, not for another of its name', () => {
    const { metadata } = ticketRequest();
    const owner = { apiVersion: 'aquifer.dev/v1alpha1', kind: 'VGPUClaim', name: 'trainer', uid: 'uid-1' };
    const stranger = { ...owner, name: 'other', uid: 'uid-2' };
    const wishes: TicketWish[] = [];
    const sign = (wish: TicketWish) => {
      wishes.push(wish);
      return ok(ticket);
    };
    decide(ticketRequest({ metadata: { ...metadata, ownerReferences: [stranger, owner] } }), world({ sign }));
    expect(wishes[0]?.claim).toEqual({ namespace: 'team-a', name: 'trainer', uid: 'uid-1' });
  });

  test.each<[string, World, Decision]>([
    ['nobody may sign', world({ sign: undefined }), { kind: 'Wait' }],
    ['the claims are being read', refusing('OperatorStarting'), { kind: 'Wait' }],
    ['the claim has no vGPUs', refusing('ClaimNotBound'), { kind: 'Wait' }],
    ['no such claim is known', refusing('ClaimNotFound'), { kind: 'LookUp', refused: refused('ClaimNotFound') }],
    ['the claim is for its node', refusing('ClaimIsLocal'), { kind: 'Answer', status: refused('ClaimIsLocal') }],
    ['the key is none', refusing('HolderKeyInvalid'), { kind: 'Answer', status: refused('HolderKeyInvalid') }],
  ])('while %s', (_, given, decision) => {
    expect(decide(ticketRequest(), given)).toEqual(decision);
  });

  test('is not answered when it is on its way out', () => {
    const metadata = { ...ticketRequest().metadata, deletionTimestamp: now.toISOString() };
    expect(decide(ticketRequest({ metadata }), world())).toEqual({ kind: 'Rest' });
  });

  test('is answered once, and goes ten minutes later', () => {
    const answered = ticketRequest({ status: refused('ClaimNotFound') });
    const after = (ms: number) => decide(answered, world({ now: new Date(now.getTime() + ms) }));
    expect(after(1000)).toEqual({ kind: 'Keep', forMs: 599_000 });
    expect(after(600_000)).toEqual({ kind: 'Remove' });
    // The status of somebody else's hand is no reason to keep it for ever.
    const odd = ticketRequest({ status: {} });
    expect(decide(odd, world({ now: new Date(now.getTime() + 600_000) }))).toEqual({ kind: 'Remove' });
  });
});
