/** Roles that serve or ask others, with the rights of their tasks, and a stranger inside who tries to break out. */
import { assertEquals, assertMatch } from "@std/assert";
import { it } from "@std/testing/bdd";
import { fileURLToPath } from "node:url";
import { usualTokens } from "./support/keys.ts";
import { within } from "./support/program.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}/deno.json`));

/** What the stranger says last, when the role is at its work. */
async function attempted(role: string, args: readonly string[]): Promise<string> {
  const [, ...command] = (tasks[role].command as string).split(" "), [name, ...flags] = command;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...[name, "--preload", fileURLToPath(new URL("./support/break_out.ts", import.meta.url)), ...flags],
      ...["--model", "convnet", "--threads", "2", ...args, ...usualTokens(role, args)],
    ],
    cwd: ROOT,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let said = "";
  const hear = async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      said += text;
      if (/broke out: nothing\n/.test(said)) return;
    }
  };
  await within(20_000, hear(), `the confinement of the ${role}`, () => `; it said: ${said}`);
  child.kill("SIGKILL");
  await child.status;
  return said;
}

for (const role of ["server", "dealer", "client"] as const) {
  it(`nothing inside the ${role} can read, write, start or call anything once others can talk to it`, async () => {
    using nobody = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const args = role === "client"
      ? ["--connect", `127.0.0.1:${nobody.addr.port}`]
      : ["--listen", "127.0.0.1:0", "--once"];
    const said = await attempted(role, args);
    // Before that it had the rights of its task, or the attempts would prove nothing.
    assertMatch(
      said,
      /broke out: read a file, list a folder, read the weights, read the environment, load a program from elsewhere, ask/,
    );
    assertEquals(/write a file|start a program|call native code/.test(said), false, said);
  });
}
