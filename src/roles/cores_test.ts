import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { bindToCores, coresIn } from "./cores.ts";

it("cores are read as taskset lists them", () => {
  assertEquals(coresIn("pid 7's current affinity list: 0,1\n"), [0, 1]);
  assertEquals(coresIn("pid 7's current affinity list: 0-2,8\n"), [0, 1, 2, 8]);
  assertEquals(coresIn("pid 7's current affinity list: 3\n"), [3]);
  assertEquals(coresIn("taskset: bad usage"), []);
  assertEquals(coresIn(null), []);
});

it("a process is bound to one of the cores it may use, and more processes than cores to none", async () => {
  const own = new Deno.Command("taskset", { args: ["-cp", `${Deno.pid}`] });
  const cores = await own.output().then(({ stdout }) => coresIn(new TextDecoder().decode(stdout)), () => []);
  if (cores.length === 0) return console.log("skipped: taskset is not there");
  const sleepers = [0, 1].map(() => new Deno.Command("sleep", { args: ["60"] }).spawn());
  try {
    const pids = sleepers.map(({ pid }) => pid), bound = await bindToCores(pids);
    assertEquals(bound, cores.length < 2 ? null : [cores[0], cores.at(-1)!]);
    for (const [i, pid] of (bound ? pids : []).entries()) {
      const { stdout } = await new Deno.Command("taskset", { args: ["-cp", `${pid}`] }).output();
      assertEquals(coresIn(new TextDecoder().decode(stdout)), [bound![i]]);
    }
    assertEquals(await bindToCores(Array(cores.length + 1).fill(pids[0])), null);
  } finally {
    for (const sleeper of sleepers) sleeper.kill("SIGKILL");
    await Promise.all(sleepers.map(({ status }) => status));
  }
});
