import { expect, test } from '@jest/globals';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { ContainerIds } from '../grpc/pod-resources.ts';
import { RpcError } from '../grpc/rpc-error.ts';
import { slotHolders } from './slot-holders.ts';

const has = (podName: string, ...ids: string[]): ContainerIds => ({
  podNamespace: 'team-a',
  podName,
  container: 'main',
  ids,
});
const holder = (podName: string) => ({ podNamespace: 'team-a', podName, container: 'main' });

/** A kubelet whose answers the test gives, in the order of the questions. */
function kubelet() {
  const questions: PromiseWithResolvers<readonly ContainerIds[]>[] = [];
  const clock = new ManualClock();
  const holders = slotHolders({
    list() {
      const question = Promise.withResolvers<readonly ContainerIds[]>();
      questions.push(question);
      return question.promise;
    },
    clock,
    signal: new AbortController().signal,
  });
  return { questions, clock, holders };
}

test('those who ask at once share a question', async () => {
  const { questions, clock, holders } = kubelet();
  const asked = ['slot-1', 'slot-2', 'slot-9'].map((slot) => holders.holderOf(slot));
  await clock.advance(0);
  expect(questions).toHaveLength(1);
  questions[0]?.resolve([has('a', 'slot-1'), has('b', 'slot-7', 'slot-2'), has('c')]);
  expect(await Promise.all(asked)).toEqual([holder('a'), holder('b'), undefined]);
});

test('whoever asks while kubelet thinks gets an answer to a question asked afterwards', async () => {
  const { questions, clock, holders } = kubelet();
  const early = holders.holderOf('slot-1');
  await clock.advance(0);
  const late = [holders.holderOf('slot-1'), holders.holderOf('slot-2')];
  await clock.advance(1000);
  expect(questions).toHaveLength(1);
  questions[0]?.resolve([has('before', 'slot-1')]);
  expect(await early).toEqual(holder('before'));
  await clock.advance(19);
  expect(questions).toHaveLength(1); // Kubelet is not asked more than fifty times in a second.
  await clock.advance(1);
  expect(questions).toHaveLength(2);
  questions[1]?.resolve([has('after', 'slot-1')]);
  expect(await Promise.all(late)).toEqual([holder('after'), undefined]);
});

test('a kubelet that is asked too often is asked again, one that fails is not', async () => {
  const { questions, clock, holders } = kubelet();
  const asked = holders.holderOf('slot-1');
  await clock.advance(0);
  questions[0]?.reject(new RpcError('RESOURCE_EXHAUSTED', 'rejected by rate limit'));
  await clock.advance(20);
  questions[1]?.resolve([has('a', 'slot-1')]);
  expect(await asked).toEqual(holder('a'));

  const failing = holders.holderOf('slot-1');
  await clock.advance(20);
  questions[2]?.reject(new RpcError('UNAVAILABLE', 'no kubelet'));
  await expect(failing).rejects.toThrow('no kubelet');
  const next = holders.holderOf('slot-1');
  await clock.advance(20);
  questions[3]?.resolve([]);
  expect(await next).toBeUndefined();
});
