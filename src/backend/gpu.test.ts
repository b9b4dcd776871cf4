import { describe, expect, test } from '@jest/globals';
import { mergeInventory, parseInventory, type Gpu } from './gpu.ts';

const gpu = (uuid: string, index: number): Gpu => ({
  uuid,
  index,
  model: 'Software GPU',
  memoryBytes: 1,
  computeCapability: '8.0',
  healthy: true,
});

describe('parseInventory', () => {
  test('takes what the worker prints', () => {
    expect(parseInventory(JSON.stringify([gpu('GPU-1', 0)]))).toEqual([gpu('GPU-1', 0)]);
  });

  test.each(['', '{', '{}', '[{"uuid":"GPU-1"}]', JSON.stringify([{ ...gpu('GPU-1', 0), memoryBytes: -1 }])])(
    'does not take %j',
    (text) => {
      expect(parseInventory(text)).toBeUndefined();
    },
  );
});

describe('mergeInventory', () => {
  test('keeps a GPU that is not seen any more, unhealthy: claims may lie on it', () => {
    expect(mergeInventory([gpu('GPU-1', 0), gpu('GPU-2', 1)], [gpu('GPU-2', 1)])).toEqual([
      { ...gpu('GPU-1', 0), healthy: false, reason: 'NotFound' },
      gpu('GPU-2', 1),
    ]);
  });

  test('says nothing good of any GPU when nobody could look', () => {
    expect(mergeInventory([gpu('GPU-1', 0)], undefined)).toEqual([
      { ...gpu('GPU-1', 0), healthy: false, reason: 'InventoryFailed' },
    ]);
  });

  test('a GPU that comes back is healthy again', () => {
    const lost = mergeInventory([gpu('GPU-1', 0)], []);
    expect(mergeInventory(lost, [gpu('GPU-1', 0)])).toEqual([gpu('GPU-1', 0)]);
  });
});
