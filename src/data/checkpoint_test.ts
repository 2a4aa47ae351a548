import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { FloatTensor } from "../models/graph.ts";
import { readCheckpoint, writeCheckpoint } from "./checkpoint.ts";

const tensor = (...data: number[]): FloatTensor => ({ shape: [data.length], data: Float32Array.from(data) });
const CHECKPOINT = {
  groups: {
    weights: new Map([["conv1.weight", tensor(1, -0, 1e-45)], ["a/b", tensor(3)]]),
    momentum: new Map([["conv1.weight", tensor(0.1)]]),
  },
  description: { epoch: 2, history: [{ loss: 0.1 + 0.2, none: null }], text: 'β " \n' },
};

async function inFolder(test: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

it("readCheckpoint() gives back every bit that writeCheckpoint() was given", () =>
  inFolder((folder) => {
    writeCheckpoint(`${folder}/c`, CHECKPOINT);
    assertEquals(readCheckpoint(`${folder}/c`), CHECKPOINT);
    writeCheckpoint(`${folder}/c`, { groups: {}, description: 3 });
    assertEquals(readCheckpoint(`${folder}/c`), { groups: {}, description: 3 });
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["c"]);
  }));

it("readCheckpoint() is undefined where there is none and names a damaged file", () =>
  inFolder((folder) => {
    assertEquals(readCheckpoint(`${folder}/c`), undefined);
    writeCheckpoint(`${folder}/c`, CHECKPOINT);
    Deno.truncateSync(`${folder}/c`, Deno.statSync(`${folder}/c`).size - 4);
    assertThrows(() => readCheckpoint(`${folder}/c`), Error, `${folder}/c is no usable checkpoint`);
  }));

it("writeCheckpoint() leaves a whole checkpoint behind whenever its process is killed", () =>
  inFolder(async (folder) => {
    // A process that replaces a checkpoint of 4 MB over and over, its number in the description and every tensor.
    const code = `
      import { writeCheckpoint } from "${import.meta.resolve("./checkpoint.ts")}";
      for (let n = 1; ; n++) {
        const data = new Float32Array(1 << 20).fill(n), weights = new Map([["w", { shape: [data.length], data }]]);
        writeCheckpoint("${folder}/c", { groups: { weights }, description: n });
        if (n === 1) console.log("ready");
      }`;
    await Deno.writeTextFile(`${folder}/writer.ts`, code);
    for (const afterMs of [0, 7, 13]) {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", "--no-check", "--allow-all", `${folder}/writer.ts`],
        stdout: "piped",
        stderr: "null",
      }).spawn();
      const reader = child.stdout.getReader();
      await reader.read();
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
      const { groups, description } = readCheckpoint(`${folder}/c`)!;
      assertEquals(groups["weights"].get("w")!.data.every((v) => v === description), true);
    }
  }));
