import { columnValue } from '../api/column-value.ts';
import { kinds, type Kind, type PrinterColumn } from '../api/kinds.ts';
import { formatAge } from '../lib/duration.ts';
import type { AnyObject } from './resource.ts';

export interface TableOptions {
  readonly wide: boolean;
  readonly withNamespace: boolean;
  /** `vgpuclaim.aquifer.dev/` before each name, where several kinds are shown. */
  readonly namePrefix?: string;
  readonly now: Date;
}

/** The header and one row an object, from the printer columns of the kind. */
export function tableOf(
  kind: Kind,
  objects: readonly AnyObject[],
  options: TableOptions,
): readonly (readonly string[])[] {
  const columns = kinds[kind].columns.filter((column: PrinterColumn) => options.wide || column.priority !== 1);
  const header = [
    ...(options.withNamespace ? ['NAMESPACE'] : []),
    'NAME',
    ...columns.map(({ name }) => name.toUpperCase()),
  ];
  const rows = objects.map((object) => [
    ...(options.withNamespace ? [object.metadata.namespace ?? ''] : []),
    `${options.namePrefix ?? ''}${object.metadata.name}`,
    ...columns.map((column) => cell(column, object, options.now)),
  ]);
  return [header, ...rows];
}

function cell(column: PrinterColumn, object: AnyObject, now: Date): string {
  const value = columnValue(object, column.jsonPath);
  if (typeof value !== 'string' && typeof value !== 'number') return '';
  if (column.type !== 'date') return String(value);
  const at = Date.parse(String(value));
  return Number.isNaN(at) ? '<invalid>' : formatAge(now.getTime() - at);
}

/** Lines with aligned columns, three blanks apart, as kubectl prints them. */
export function aligned(rows: readonly (readonly string[])[], widths: readonly number[] = widthsOf(rows)): string {
  return rows
    .map(
      (row) =>
        `${row
          .map((text, i) => text.padEnd(widths[i] ?? 0))
          .join('   ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** The width of each column. */
export function widthsOf(rows: readonly (readonly string[])[]): readonly number[] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  return Array.from({ length: columns }, (_, i) => Math.max(0, ...rows.map((row) => row[i]?.length ?? 0)));
}
