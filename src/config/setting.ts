import { z } from 'zod';

export type Env = Readonly<Record<string, string | undefined>>;

/** What a process's settings say of themselves beside their schema: flag, environment and help come from here. */
export interface SettingMeta {
  readonly description: string;
  /** What stands for the value in the help, such as `DIR`. */
  readonly placeholder?: string;
  /** A default that depends on where we run, and how to call it in the help. */
  readonly fallback?: { readonly text: string; readonly from: (env: Env) => string };
}

const registry = z.registry<SettingMeta>();

/** Makes a schema one setting of a process. */
export function setting<S extends z.ZodType>(schema: S, meta: SettingMeta): S {
  registry.add(schema, meta);
  return schema;
}

export type SettingType = 'string' | 'number' | 'boolean' | 'list';

/** One setting under all its names. */
export interface Setting extends SettingMeta {
  /** The key in a configuration file and in the result. */
  readonly key: string;
  readonly flag: string;
  readonly variable: string;
  readonly type: SettingType;
  /** As text, if there is one and it does not depend on where we run. */
  readonly defaultText?: string;
  readonly choices?: readonly string[];
}

/** The settings that a schema has, in its order. Every one of them must have been made by `setting`. */
export function settingsOf(schema: z.ZodObject): Setting[] {
  return Object.entries(schema.shape).map(([key, field]) => {
    const meta = registry.get(field);
    if (meta === undefined) throw new Error(`the setting ${key} has no description`);
    return { ...meta, key, flag: `--${kebab(key)}`, variable: variableFor(key), ...shapeOf(field as z.ZodType) };
  });
}

const kebab = (key: string): string => key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** `dataDir` → `AQUIFER_DATA_DIR`. */
const variableFor = (key: string): string => `AQUIFER_${kebab(key).replaceAll('-', '_').toUpperCase()}`;

interface JsonShape {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly default?: unknown;
}

const TYPES: Readonly<Record<string, SettingType>> = {
  integer: 'number',
  number: 'number',
  boolean: 'boolean',
  array: 'list',
};

function shapeOf(field: z.ZodType): Pick<Setting, 'type' | 'defaultText' | 'choices'> {
  const shape = z.toJSONSchema(field, { io: 'input' }) as JsonShape;
  return {
    type: TYPES[shape.type ?? ''] ?? 'string',
    ...(shape.default === undefined ? {} : { defaultText: textOf(shape.default) }),
    ...(shape.enum === undefined ? {} : { choices: shape.enum }),
  };
}

const textOf = (value: unknown): string => (Array.isArray(value) ? value.join(',') : String(value));
