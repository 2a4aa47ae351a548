/**
 * Stand-in for the part of `@std/assert` that this project uses, for machines that reach npm but not
 * JSR. Same names, same signatures; structural comparison comes from `node:assert`.
 */
import strict from "node:assert/strict";

/** Error thrown by a failed assertion. */
export class AssertionError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "AssertionError";
  }
}

type ErrorClass<E extends Error> = abstract new (...args: never[]) => E;

/** Fails unless `condition` is truthy. */
export function assert(condition: unknown, message = "Assertion failed"): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Fails unconditionally. */
export function fail(message?: string): never {
  throw new AssertionError(message ? `Failed assertion: ${message}` : "Failed assertion.");
}

/** Fails unless `actual` and `expected` are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  try {
    strict.deepStrictEqual(actual, expected);
  } catch (error) {
    throw new AssertionError([message, (error as Error).message].filter(Boolean).join(": "));
  }
}

/** Fails if `actual` and `expected` are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, message?: string): void {
  try {
    strict.notDeepStrictEqual(actual, expected);
  } catch (error) {
    throw new AssertionError([message, (error as Error).message].filter(Boolean).join(": "));
  }
}

/** Fails unless `Object.is(actual, expected)`. */
export function assertStrictEquals<T>(actual: unknown, expected: T, message?: string): asserts actual is T {
  if (!Object.is(actual, expected)) {
    throw new AssertionError(`${message ? message + ": " : ""}${String(actual)} is not ${String(expected)}`);
  }
}

/** Fails unless the numbers differ by at most `tolerance` (default: 1e-7 of `expected`). */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  message?: string,
): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  const delta = Math.abs(expected - actual);
  if (delta <= allowed) return;
  throw new AssertionError(
    `${message ? message + ": " : ""}Expected actual: "${actual}" to be close to "${expected}": ` +
      `delta "${delta}" is greater than "${allowed}".`,
  );
}

/** Fails unless `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  if (actual.includes(expected)) return;
  throw new AssertionError(`${message ? message + ": " : ""}Expected "${actual}" to contain "${expected}".`);
}

/** Fails unless `actual` matches `expected`. */
export function assertMatch(actual: string, expected: RegExp, message?: string): void {
  if (expected.test(actual)) return;
  throw new AssertionError(`${message ? message + ": " : ""}Expected "${actual}" to match ${expected}.`);
}

/** Fails unless `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, message?: string): void {
  if (actual > expected) return;
  throw new AssertionError(`${message ? message + ": " : ""}Expected ${actual} > ${expected}.`);
}

/** Fails unless `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, message?: string): void {
  if (actual >= expected) return;
  throw new AssertionError(`${message ? message + ": " : ""}Expected ${actual} >= ${expected}.`);
}

/** Fails unless `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, message?: string): void {
  if (actual < expected) return;
  throw new AssertionError(`${message ? message + ": " : ""}Expected ${actual} < ${expected}.`);
}

/** Fails unless `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, message?: string): void {
  if (actual <= expected) return;
  throw new AssertionError(`${message ? message + ": " : ""}Expected ${actual} <= ${expected}.`);
}

/** Fails unless `actual` is an instance of `expected`. */
export function assertInstanceOf<T extends abstract new (...args: never[]) => unknown>(
  actual: unknown,
  expected: T,
  message?: string,
): asserts actual is InstanceType<T> {
  if (actual instanceof expected) return;
  throw new AssertionError(`${message ? message + ": " : ""}Expected an instance of ${expected.name}.`);
}

/** Fails unless `error` is an instance of `errorClass` whose message includes `messageIncludes`. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  errorClass?: ErrorClass<E>,
  messageIncludes?: string,
): asserts error is E {
  if (!(error instanceof Error)) throw new AssertionError(`Expected an Error, got ${String(error)}.`);
  if (errorClass && !(error instanceof errorClass)) {
    throw new AssertionError(`Expected ${errorClass.name}, got ${error.name}: ${error.message}`);
  }
  if (messageIncludes !== undefined && !error.message.includes(messageIncludes)) {
    throw new AssertionError(
      `Expected error message to include "${messageIncludes}", got "${error.message}".`,
    );
  }
}

/** Fails unless `fn` throws; returns the error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  errorClass?: ErrorClass<E>,
  messageIncludes?: string,
): unknown {
  try {
    fn();
  } catch (error) {
    assertIsError(error, errorClass, messageIncludes);
    return error;
  }
  throw new AssertionError("Expected function to throw.");
}

/** Fails unless the promise of `fn` rejects; resolves to the error. */
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  errorClass?: ErrorClass<E>,
  messageIncludes?: string,
): Promise<unknown> {
  try {
    await fn();
  } catch (error) {
    assertIsError(error, errorClass, messageIncludes);
    return error;
  }
  throw new AssertionError("Expected function to reject.");
}
