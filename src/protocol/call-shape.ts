/** A scalar or fixed array of the wire; all little endian, naturally aligned. */
export type FieldType = 'u32' | 'u64' | 'i32' | 'f32' | 'u32x3' | 'i32x16' | 'u8x16' | 'u8x32' | 'u8x128';

export interface Field {
  readonly name: string;
  readonly type: FieldType;
}

/** The fixed part of a message and, where `tail` says what it holds, bytes of any length after it. */
export interface Shape {
  readonly fields: readonly Field[];
  readonly tail?: string;
}

/**
 * One message. A `post` is not answered: its failure comes as a `Fault`. A `request` is answered by one reply. A `push` is
 * what the worker says unasked. A `bulk` message's tail is read and written straight from and to user memory.
 */
export interface Call extends Shape {
  readonly name: string;
  readonly number: number;
  readonly kind: 'post' | 'request' | 'push';
  readonly about: string;
  readonly bulk?: true;
  readonly reply?: Shape;
  /** The driver's entry points that this call serves, without version suffixes. */
  readonly serves?: readonly string[];
}

/** `context:u32 address:u64` to fields: keeps the table readable. */
export function fields(spec: string): readonly Field[] {
  return spec
    .split(/\s+/)
    .filter((word) => word !== '')
    .map((word) => {
      const [name, type] = word.split(':');
      return { name: name ?? '', type: (type ?? '') as FieldType };
    });
}

/** Words of a space-separated list. */
export const words = (list: string): readonly string[] => list.split(/\s+/).filter((word) => word !== '');
