import { fileURLToPath } from "node:url";
import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { parseCsv } from "../report/csv.ts";
import { buildModel } from "../models/zoo.ts";
import { initialState } from "../training/initial.ts";
import { presetOf } from "../training/presets.ts";
import type { Run } from "../training/recipe.ts";
import type { EpochRow } from "../training/trainer.ts";
import {
  type Circumstances,
  claimLog,
  openRun,
  type Origin,
  releaseLog,
  saveCheckpoint,
  speedOf,
  withOrigin,
  writeLog,
} from "./training_folder.ts";

const RUN: Run = {
  ...presetOf("convnet-pillar-cpu"),
  epochs: 2,
  seed: 1,
  engine: "wasm",
  backend: null,
  holdOut: true,
  limit: null,
};
const ROW: EpochRow = {
  epoch: 1,
  learningRate: 0.01,
  trainCrossEntropy: 0.1 + 0.2,
  penalty: null,
  trainAccuracy: 50,
  trainOutOfRangePercent: 0,
  trainLargestInput: 4.5,
  test: {
    images: 10,
    accuracy: 40,
    crossEntropy: 1.5,
    outOfRange: 1,
    outOfRangePercent: 0.1,
    imagesOutOfRange: 1,
    imagesOutOfRangePercent: 10,
    outOfRangeMax: null,
    outOfRangeMean: null,
    outOfRangeDeviation: null,
    nonFinite: 0,
  },
  clipped: null,
  seconds: 2,
  imagesPerSecond: 100,
};
const CIRCUMSTANCES: Circumstances = {
  workers: 2,
  flags: [],
  fma: true,
  commit: "abc",
  machine: "a machine",
  v8: "15",
};

const ORIGIN: Origin = { fromEpoch: 1, ...CIRCUMSTANCES };

function inFolder(test: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    test(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

it("openRun() gives back the checkpoint of the same run", () =>
  inFolder((folder) => {
    const out = `${folder}/run`, { weights } = initialState(buildModel("convnet"), 1);
    assertEquals(openRun(out, RUN, true), undefined);
    for (const average of [null, weights]) {
      const checkpoint = {
        run: RUN,
        state: initialState(buildModel("convnet"), 2),
        average,
        history: [ROW],
      };
      const labels = { origins: [ORIGIN], classNames: ["a", "b"] };
      saveCheckpoint(out, checkpoint, labels);
      assertEquals(openRun(out, RUN, true), { checkpoint, ...labels });
    }
  }));

it("openRun() goes on with a run that was begun before its recipe had all fields", () =>
  inFolder((out) => {
    const { schedule: _schedule, nesterov: _nesterov, tailAverage: _tailAverage, ...begun } = RUN;
    const state = initialState(buildModel("convnet"), 2);
    const checkpoint = { run: begun as Run, state, average: null, history: [ROW] };
    saveCheckpoint(out, checkpoint, { origins: [ORIGIN], classNames: null });
    assertEquals(openRun(out, RUN, true)?.checkpoint.history, [ROW]);
    assertThrows(
      () => openRun(out, { ...RUN, nesterov: true }, true),
      Error,
      "nesterov false, this one has true",
    );
  }));

it("openRun() refuses another run by the field that differs, and the same one without --resume", () =>
  inFolder((out) => {
    const checkpoint = {
      run: RUN,
      state: initialState(buildModel("convnet"), 2),
      average: null,
      history: [ROW],
    };
    saveCheckpoint(out, checkpoint, { origins: [ORIGIN], classNames: null });
    const penalty = { ...RUN.penalty!, coefficient: 0.5 };
    for (const resume of [true, false]) {
      assertThrows(
        () => openRun(out, { ...RUN, penalty }, resume),
        Error,
        `${out} holds a run with penalty.coefficient 0.00001, this one has 0.5; `,
      );
    }
    assertThrows(() => openRun(out, { ...RUN, clip: null }, true), Error, "clip 5, this one has off");
    assertThrows(() => openRun(out, RUN, false), Error, "1 of its 2 epochs done; give --resume");
  }));

it("openRun() does not write over a model that it cannot go on with", () =>
  inFolder((out) => {
    Deno.writeTextFileSync(`${out}/model.json`, "{}");
    assertThrows(() => openRun(out, RUN, true), Error, "holds a model without a checkpoint");
  }));

it("writeLog() writes a row an epoch, with where it comes from", () =>
  inFolder((folder) => {
    const diverged = { epoch: 2, step: 3, layer: "act1", largestInput: 1e9 };
    const history = [ROW, { ...ROW, epoch: 2, test: null }], out = `${folder}/r-seed1`;
    Deno.mkdirSync(out);
    writeLog(out, `${folder}/results`, { run: RUN, history, diverged, origins: [ORIGIN] });
    const text = Deno.readTextFileSync(`${folder}/results/r-seed1.csv`);
    assertEquals(Deno.readTextFileSync(`${out}/log.csv`), text);
    const { rows: [first, second] } = parseCsv(text);
    assertEquals(
      [first["run"], first["epoch"], first["accuracy_percent"], first["out_of_range_max"], first["diverged"]],
      ["r-seed1", "1", "40", "", ""],
    );
    assertEquals([first["evaluated_on"], first["commit"], first["seed"]], ["held-out", "abc", "1"]);
    assertEquals(second["diverged"], "diverged at epoch 2, step 3: act1 reached 1.0e+9");
    assertEquals(second["accuracy_percent"], "");
  }));

it("every epoch is labelled with the code and the machine that trained it, also where a run went on elsewhere", () =>
  inFolder((folder) => {
    const elsewhere = { ...CIRCUMSTANCES, commit: "def", machine: "another machine" };
    assertEquals(withOrigin([ORIGIN], CIRCUMSTANCES, 1), [ORIGIN]);
    const origins = withOrigin([ORIGIN], elsewhere, 1), out = `${folder}/run`;
    assertEquals(origins, [ORIGIN, { fromEpoch: 2, ...elsewhere }]);
    Deno.mkdirSync(out);
    const history = [1, 2, 3].map((epoch) => ({ ...ROW, epoch }));
    writeLog(out, `${folder}/results`, { run: RUN, history, diverged: null, origins });
    const { rows } = parseCsv(Deno.readTextFileSync(`${folder}/results/run.csv`));
    assertEquals(rows.map(({ commit, machine }) => `${commit} ${machine}`), [
      "abc a machine",
      "def another machine",
      "def another machine",
    ]);
  }));

it("rows name the folder of a run from the checkout on, and no place of this machine", () =>
  inFolder((folder) => {
    const out = fileURLToPath(new URL("../../runs/one", import.meta.url)), results = `${folder}/results`;
    claimLog(out, results);
    assertEquals(Deno.readTextFileSync(`${results}/one.csv`).split("\n")[0], "# The run in runs/one");
  }));

it("claimLog() refuses a name that another folder or another file has", () =>
  inFolder((folder) => {
    const results = `${folder}/results`;
    const log = { run: RUN, history: [ROW], diverged: null, origins: [ORIGIN] };
    for (const out of [`${folder}/a/final`, `${folder}/b/final`]) Deno.mkdirSync(out, { recursive: true });
    claimLog(`${folder}/a/final`, results);
    const refuses = () =>
      assertThrows(
        () => claimLog(`${folder}/b/final`, results),
        Error,
        `${results}/final.csv holds other rows (The run in ${folder}/a/final); give another --results`,
      );
    refuses();
    releaseLog(`${folder}/a/final`, results);
    claimLog(`${folder}/b/final`, results);
    releaseLog(`${folder}/b/final`, results);
    claimLog(`${folder}/a/final`, results);
    writeLog(`${folder}/a/final`, results, log);
    refuses();
    releaseLog(`${folder}/a/final`, results);
    refuses();
    claimLog(`${folder}/a/final`, results);
    const fit = "# Polynomials. Measured by: deno task reproduce\ncell,n\nx,1\n";
    Deno.writeTextFileSync(`${results}/polynomial_fit.csv`, fit);
    assertThrows(() => claimLog(`${folder}/polynomial_fit`, results), Error, "holds other rows");
    assertEquals(Deno.readTextFileSync(`${results}/polynomial_fit.csv`), fit);
  }));

it("claimLog() takes an empty file, which a kill or a full disk has left, for no file", () =>
  inFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/one.csv`, "");
    claimLog(`${folder}/runs/one`, folder);
    claimLog(`${folder}/runs/one`, folder);
    assertThrows(() => claimLog(`${folder}/others/one`, folder), Error, "holds other rows");
  }));

it("speedOf() weighs epochs by their time", () => {
  const history = [ROW, { ...ROW, seconds: 6, imagesPerSecond: 200 }];
  assertEquals(speedOf(history), { seconds: 8, imagesPerSecond: 175 });
  assertEquals(speedOf([]), { seconds: 0, imagesPerSecond: 0 });
});
