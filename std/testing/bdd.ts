/**
 * Stand-in for the part of `@std/testing/bdd` that this project uses, for machines that reach npm but
 * not JSR: `describe` registers one Deno test, `it` its steps, hooks run around them.
 */
type Hook = () => void | Promise<void>;
type Body = (t: Deno.TestContext) => void | Promise<void>;

interface Suite {
  cases: { name: string; body: Body; ignore?: boolean }[];
  suites: { name: string; suite: Suite }[];
  before: Hook[];
  after: Hook[];
  beforeEach: Hook[];
  afterEach: Hook[];
}

const newSuite = (): Suite => ({
  cases: [],
  suites: [],
  before: [],
  after: [],
  beforeEach: [],
  afterEach: [],
});
let current: Suite | undefined;

function collect(body: () => void): Suite {
  const outer = current, suite = current = newSuite();
  try {
    body();
  } finally {
    current = outer;
  }
  return suite;
}

async function runSuite(t: Deno.TestContext, suite: Suite, outerBefore: Hook[], outerAfter: Hook[]) {
  const before = [...outerBefore, ...suite.beforeEach], after = [...suite.afterEach, ...outerAfter];
  for (const hook of suite.before) await hook();
  try {
    for (const { name, body, ignore } of suite.cases) {
      const fn = async (t: Deno.TestContext) => {
        for (const hook of before) await hook();
        try {
          await body(t);
        } finally {
          for (const hook of after) await hook();
        }
      };
      await t.step({ name, fn, ignore: ignore ?? false });
    }
    for (const inner of suite.suites) {
      await t.step(inner.name, (t) => runSuite(t, inner.suite, before, after));
    }
  } finally {
    for (const hook of suite.after) await hook();
  }
}

/** Groups test cases; may be nested. */
export function describe(name: string, body: () => void): void {
  const suite = collect(body);
  if (current) current.suites.push({ name, suite });
  else Deno.test(name, (t) => runSuite(t, suite, [], []));
}

/** Registers a test case, inside `describe` or alone. */
export function it(name: string, body: Body): void {
  if (current) current.cases.push({ name, body });
  else Deno.test(name, body);
}

/** Registers a case that is skipped; give the reason in its name. */
it.ignore = (name: string, body: Body): void => {
  if (current) current.cases.push({ name, body, ignore: true });
  else Deno.test({ name, fn: body, ignore: true });
};

function hook(kind: "before" | "after" | "beforeEach" | "afterEach") {
  return (body: Hook): void => {
    if (!current) throw new Error(`${kind}() is only supported inside describe()`);
    current[kind].push(body);
  };
}

/** Runs once before the cases of the suite. */
export const beforeAll = hook("before");
/** Runs once after the cases of the suite. */
export const afterAll = hook("after");
/** Runs before each case of the suite. */
export const beforeEach = hook("beforeEach");
/** Runs after each case of the suite. */
export const afterEach = hook("afterEach");
