/** What `infer` has measured before a role dies is not lost. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import { BrokenSession, runInference } from "../src/roles/processes.ts";
import { childrenOf } from "./support/process_list.ts";
import { assertOneSentence, Program } from "./support/program.ts";

const isLinux = Deno.build.os === "linux", onLinux = isLinux ? it : it.ignore;
const reason = isLinux ? "" : " (skipped: only Linux lists processes under /proc)";

for (const name of ["server", "dealer"] as const) {
  onLinux(
    `kill -9 of the ${name} in the middle leaves the figures of the queries before${reason}`,
    async () => {
      let answered = 0;
      const running = runInference({
        plan: ["--model", "convnet"],
        server: [],
        client: ["--seed", "1"],
        parties: [],
        timeout: 60,
        reads: { server: [], client: [], all: [] },
        flags: [],
        bindsCores: false,
        queries: 100_000,
        async onQuery() {
          if (++answered !== 3) return;
          const role = (await childrenOf(Deno.pid)).find(({ args }) =>
            args.some((arg) => arg.endsWith(`${name}.ts`))
          );
          Deno.kill(role!.pid, "SIGKILL");
        },
      });
      const error = await assertRejects(
        () => running,
        BrokenSession,
        `the ${name} ended with SIGKILL`,
      ) as BrokenSession;
      const { setup, queries } = error.figures;
      assert(setup.bytes > 0 && queries.length >= 3);
      assert(queries.every(({ logits, onlineMs }) => logits.length === 10 && onlineMs > 0));
    },
  );
}

onLinux(`infer prints what it has measured, and then its error${reason}`, async () => {
  await using program = Program.start("infer", [
    "--model",
    "convnet",
    "--repetitions",
    "100000",
    "--warm-up",
    "0",
  ]);
  await program.line(/ [1-9]\d*\/100000 queries/, true);
  const roles = await childrenOf(program.pid);
  Deno.kill(roles.find(({ args }) => args.some((arg) => arg.endsWith("server.ts")))!.pid, "SIGKILL");
  const { code, stdout, stderr } = await program.ended();
  assertEquals(code, 1);
  assert(/online, per query/.test(stdout) && /class \d, as in plaintext/.test(stdout), stdout);
  assertOneSentence(stderr.split("\n").slice(-2).join("\n"), ["the server ended with SIGKILL"]);
});
