/**
 * The value that a printer column's JSONPath leads to; undefined where there is none. Understood: `.name`, `[0]` and
 * `[?(@.name=="value")]`, which is what our columns use.
 */
export function columnValue(object: unknown, jsonPath: string): unknown {
  return [...jsonPath.matchAll(STEP)].reduce<unknown>((value, [, field, index, key, wanted]) => {
    if (field !== undefined) return property(value, field);
    if (!Array.isArray(value)) return undefined;
    if (index !== undefined) return value[Number(index)] as unknown;
    return value.find((item) => property(item, key ?? '') === wanted) as unknown;
  }, object);
}

const STEP = /[.]([A-Za-z0-9_]+)|\[([0-9]+)\]|\[[?]\(@[.]([A-Za-z0-9_]+)=="([^"]*)"\)\]/g;

const property = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
