/**
 * `deno task train` killed at random moments: whatever it had written, going on ends with the bits of a run that
 * was never touched. The environment variable TRAINING_KILLS sets the number of kills.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { it } from "@std/testing/bdd";
import { readCheckpoint } from "../src/data/checkpoint.ts";
import { isThere } from "../src/files/is_there.ts";
import type { Weights } from "../src/models/graph.ts";
import type { EpochRow } from "../src/training/trainer.ts";
import { poll, Program } from "./support/program.ts";

const KILLS = Number(Deno.env.get("TRAINING_KILLS") ?? 3);
const EPOCHS = 4 * KILLS + 2;
const RECIPE =
  `--preset convnet-pillar-cpu --dataset shapes --limit 256 --batch 32 --epochs ${EPOCHS} --seed 4`
    .split(" ");

const start = (folder: string, name: string, ...more: string[]) =>
  Program.start("train", [
    ...RECIPE,
    "--out",
    `${folder}/${name}`,
    "--results",
    `${folder}/results`,
    "--json",
    ...more,
  ]);

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Waits for something that a program brings about; fails if it ends without. */
async function until(program: Program, happened: () => boolean): Promise<void> {
  let ended = false;
  void program.ended(3_600_000).finally(() => ended = true);
  await poll(() => Promise.resolve(ended || happened() || undefined));
  assert(!ended || happened(), `it ended too early and said: ${program.said}`);
}

/** Everything that a run decides: what depends on the clock is left out. */
function outcome(out: string) {
  const { groups, description } = readCheckpoint(`${out}/checkpoint.safetensors`)!;
  const { run, history } = description as { run: unknown; history: EpochRow[] };
  return {
    run,
    history: history.map((row) => ({ ...row, seconds: 0, imagesPerSecond: 0 })),
    state: Object.fromEntries(Object.entries(groups).map(([group, tensors]) => [group, bits(tensors)])),
    weights: Deno.readFileSync(`${out}/weights.safetensors`),
    model: Deno.readTextFileSync(`${out}/model.json`),
  };
}

const bits = (tensors: Weights) =>
  new Map([...tensors].map(([name, { data }]) => [name, new Uint32Array(data.buffer)]));

/** How long an epoch trains; its evaluation comes on top. */
function epochMs(out: string): number {
  const { history } = readCheckpoint(`${out}/checkpoint.safetensors`)!.description as { history: EpochRow[] };
  return 1000 * history.reduce((sum, { seconds }) => sum + seconds, 0) / history.length;
}

const epochsDone = (out: string): number => {
  const stored = readCheckpoint(`${out}/checkpoint.safetensors`);
  return stored === undefined ? 0 : (stored.description as { history: EpochRow[] }).history.length;
};

it("train loses nothing when it is killed at random moments and told to go on", () =>
  inFolder(async (folder) => {
    await using whole = start(folder, "whole");
    await whole.succeeds();
    const expected = outcome(`${folder}/whole`), out = `${folder}/killed`, done: string[] = [];
    for (let i = 0; i < KILLS; i++) {
      const before = epochsDone(out);
      await using program = start(folder, "killed", "--resume");
      // One epoch further, so that the runs get on, and then into the next two: in a step, an evaluation, a write.
      await until(program, () => epochsDone(out) > before);
      const afterMs = Math.random() * 2 * epochMs(`${folder}/whole`);
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      program.kill("SIGKILL");
      await program.ended();
      done.push(`killed ${Math.round(afterMs)} ms after an epoch, with ${epochsDone(out)} of ${EPOCHS} kept`);
    }
    assert(epochsDone(out) < EPOCHS, `no run was interrupted: ${done.join("; ")}`);
    await using last = start(folder, "killed", "--resume");
    await last.succeeds();
    assertEquals(outcome(out), expected, done.join("; "));
    if (KILLS > 3) console.log(done.join("\n"));
  }));

it("train says how to go on after Ctrl-C, within its time, and refuses a folder in use", () =>
  inFolder(async (folder) => {
    await using long = Program.start("train", [
      ...["--preset", "convnet-pillar-cpu", "--dataset", "shapes", "--limit", "256", "--epochs", "100000"],
      ...["--out", `${folder}/run`, "--results", `${folder}/results`, "--json"],
    ]);
    await until(long, () => isThere(`${folder}/run/log.csv`));
    long.kill("SIGINT");
    const said = await long.failsWith(["interrupted; ", "--resume"], 2000);
    assertStringIncludes(said, "the last whole epoch is kept");
    assert(epochsDone(`${folder}/run`) > 0);
    await using again = start(folder, "run");
    await again.failsWith([`${folder}/run holds a run with `, "another --out"]);
  }));
