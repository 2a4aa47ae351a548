/** A kernel of more than eight parameters is called by name: see `src/ring/named_kernels.ts`. */
import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { LINEAR_HEADS, TRIGONOMETRIC_HEADS } from "../src/ring/kernels/_heads.ts";
import { nameParameters, parameterNames } from "../src/ring/named_kernels.ts";
import {
  CONVOLUTION_HEADS,
  LAYER_HEADS,
  type LayerFamily,
  operandNames,
} from "../src/training/kernels/_heads.ts";

const MOST_BY_POSITION = 8;
/** A key is eight words that have one name, a tuple. */
const KEYED = ["chacha20"];
const HEADS: Readonly<Record<string, string>> = {
  ...LINEAR_HEADS,
  ...TRIGONOMETRIC_HEADS,
  ...CONVOLUTION_HEADS,
};

/** Parameters that a kernel has by its head; undefined: it has none. */
function headLength(kernel: string): number | undefined {
  if (HEADS[kernel] !== undefined) return parameterNames(HEADS[kernel]).length;
  const families = (Object.keys(LAYER_HEADS) as LayerFamily[]).filter((family) => kernel.startsWith(family));
  const family = families.toSorted((a, b) => b.length - a.length)[0];
  if (!family) return undefined;
  const absent = [...kernel.includes("Shortcut") ? [] : ["s"], ...kernel.includes("Second") ? [] : ["ey"]];
  const operands = operandNames(family).filter((operand) => !absent.includes(operand));
  return 3 * operands.length + parameterNames(LAYER_HEADS[family].parameters).length;
}

it("every compiled kernel of more than eight parameters has a head with as many", async () => {
  const folder = new URL("../build/", import.meta.url), wrong: string[] = [];
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 65_536 });
  for (const { name } of Deno.readDirSync(folder)) {
    if (!name.endsWith(".wasm")) continue;
    const module = await WebAssembly.compile(Deno.readFileSync(new URL(name, folder)));
    const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
    for (const [kernel, code] of Object.entries(exports)) {
      if (typeof code !== "function" || code.length <= MOST_BY_POSITION || KEYED.includes(kernel)) continue;
      if (headLength(kernel) !== code.length) wrong.push(`${name}: ${kernel} takes ${code.length} numbers`);
    }
  }
  assertEquals(wrong, []);
});

it("nameParameters() puts what is known in its place and takes the rest in the order of the head", () => {
  const calls: unknown[] = [], head = "a: usize, b: i32,\n  c: usize, d: bool";
  const { f } = nameParameters({ f: (...values) => void calls.push(values) }, { f: head } as const);
  const some = f({ c: 3, a: 1 });
  some(2, true);
  some(20, false);
  f({ d: true, c: 7, b: 6, a: 5 })();
  assertEquals(calls, [[1, 2, 3, true], [1, 20, 3, false], [5, 6, 7, true]]);
});
