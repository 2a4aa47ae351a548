import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { build } from "./build.ts";

it("build() compiles nothing and loads no compiler when the kernels are fresh", async () => {
  await build();
  const started = performance.now();
  assertEquals(await build(), []);
  assert(performance.now() - started < 500); // a compilation takes seconds; a look at the files a few milliseconds
});

it("build() leaves whole modules only, whoever else builds at the same time", async () => {
  await Promise.all([build(), build()]);
  for (const { name } of Deno.readDirSync(new URL("../../build/", import.meta.url))) {
    if (!name.endsWith(".wasm")) continue;
    await WebAssembly.compile(Deno.readFileSync(new URL(`../../build/${name}`, import.meta.url)));
  }
});
