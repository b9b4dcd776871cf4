import { describe, expect, test } from '@jest/globals';
import { acceptedExamples, refusedExamples } from '../../test/support/kind-examples.ts';
import { schemaViolations } from '../../test/support/schema-violations.ts';
import { admit } from './admission.ts';
import { rules } from './rules.ts';

const problems = (...args: Parameters<typeof admit>) => {
  const result = admit(...args);
  return result.ok ? [] : result.error;
};

describe('accepted', () => {
  test.each(acceptedExamples)('$name', ({ kind, object, old }) => {
    expect(problems(kind, object, old)).toEqual([]);
  });
});

describe('refused by a rule', () => {
  test.each(refusedExamples)('$name', ({ kind, object, old, field, message }) => {
    expect(problems(kind, object, old)).toEqual([{ field, message }]);
  });

  test('there is an example for every rule', () => {
    const tried = new Set(refusedExamples.map(({ rule }) => rule));
    expect(rules.map(({ id }) => id).filter((id) => !tried.has(id))).toEqual([]);
    expect([...tried].filter((id) => !rules.some((rule) => rule.id === id))).toEqual([]);
  });
});

describe('refused by the schema', () => {
  test.each(schemaViolations())('$name', ({ kind, object, field, message }) => {
    expect(problems(kind, object)).toContainEqual({ field, message });
  });
});
