import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { runJson, runJsonLines, stopChildren } from "./experiment.ts";

describe("runJson()", () => {
  const script = async (source: string, use: (path: string) => Promise<void>) => {
    const path = await Deno.makeTempFile({ suffix: ".ts" });
    try {
      await Deno.writeTextFile(path, source);
      await use(path);
    } finally {
      await Deno.remove(path);
    }
  };

  it("reads what a module prints", async () => {
    await script('console.log(JSON.stringify({ a: Deno.args })); console.error("a note");', async (path) => {
      assertEquals(await runJson([path, "--x", "1"]), { a: ["--x", "1"] });
    });
    await script('console.log("1\\n[2]\\n");', async (path) => {
      assertEquals(await runJsonLines([path]), [1, [2]]);
      await assertRejects(() => runJson([path]), Error, "printed 2 lines where one was expected");
    });
  });
  it("turns what goes wrong into one sentence", async () => {
    await script('console.error("error: the peer is gone"); Deno.exit(3);', async (path) => {
      await assertRejects(() => runJson([path]), Error, `${path} ended with exit code 3: the peer is gone`);
    });
    await script('console.log("hello");', async (path) => {
      await assertRejects(() => runJson([path]), Error, `${path} printed a line that is not JSON: hello`);
    });
  });
  it("ends a module that takes too long, or when it is told to", async () => {
    await script("await new Promise((resolve) => setTimeout(resolve, 20_000));", async (path) => {
      await assertRejects(() => runJson([path], { timeoutSeconds: 0.3 }), Error, "did not end within 0.3 s");
      const running = assertRejects(() => runJson([path]), Error, "ended with exit code");
      setTimeout(stopChildren, 300);
      await running;
    });
  });
});
