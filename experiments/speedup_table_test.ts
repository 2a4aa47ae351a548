import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { csvText } from "../src/report/csv.ts";
import { dataOf, readReference, readResults } from "../src/report/results.ts";
import {
  csvColumns,
  type NewRow,
  numberOf,
  type Reference,
  type Row,
} from "../src/reproduction/experiment.ts";
import { experiments } from "./mod.ts";
import { speedupTable } from "./speedup_table.ts";

const reference = await readReference();
const latency = (values: Record<string, string | number>): Row =>
  Object.fromEntries(
    Object.entries({
      ...{ model: "resnet18", classes: 10, linear: "masked", activation: "honeybadger", profile: "none" },
      ...{ online_ms: 60, one_way_delays: 36, bytes_server: 9e6, bytes_client: 13e6 },
      ...{ size: "quick", seed: 1, commit: "abc", machine: "a machine" },
      ...values,
    }).map(([column, value]) => [column, String(value)]),
  );
const derive = (rows: readonly Row[], from: Reference = reference): Row[] =>
  speedupTable.rows(() => rows, from).map((row: NewRow) =>
    Object.fromEntries(csvColumns(speedupTable).map((column) => [column, csvText(row[column])]))
  );

describe("speedup_table", () => {
  it("takes a measured time as it is and predicts the others from the row without delay", () => {
    const [row] = derive([latency({}), latency({ profile: "wan", online_ms: 1900 })]);
    assertEquals([row["network"], row["dataset"]], ["ResNet-18", "CIFAR-10"]);
    assertEquals(row["wan_honeybadger_s"], "1.9");
    // 36 one-way delays of 0.125 ms.
    assertAlmostEquals(numberOf(row, "lan_honeybadger_s"), 0.0645);
    assertMatch(row["predicted"], /^lan_honeybadger_s /);
    assert(!row["predicted"].includes("wan_honeybadger_s"));
  });

  it("predicts a twin with other classes from the network that was measured, and says so", () => {
    const rows = derive([latency({})]);
    assertEquals(rows.map((row) => [row["dataset"], row["predicted_from"]]), [
      ["CIFAR-10", ""],
      ["CIFAR-100", "resnet18 (10)"],
    ]);
    assertAlmostEquals(numberOf(rows[1], "wan_honeybadger_s"), 0.06 + 36 * 0.05);
  });

  it("gives lifted on ResNet-50 the time of the network with average pooling, by its name", () => {
    const rows = derive([
      latency({ model: "resnet50", classes: 1000, one_way_delays: 136, online_ms: 1000 }),
      latency({
        ...{
          model: "resnet50-avg",
          classes: 1000,
          activation: "lifted",
          one_way_delays: 100,
          online_ms: 240,
        },
      }),
    ]);
    assertEquals(rows.length, 1);
    assertEquals(rows[0]["lifted_model"], "resnet50-avg");
    assertAlmostEquals(numberOf(rows[0], "wan_lifted_s"), 5.24);
    assertAlmostEquals(numberOf(rows[0], "wan_honeybadger_s"), 7.8);
    assertEquals(rows[0]["rival_delays"], "20900");
    assertEquals(rows[0]["rival_bound_wan_s"], "1045");
  });

  it("marks what was extrapolated in the plots, and only that", () => {
    const [row] = derive([latency({ model: "minionn-bn" })]);
    assertEquals(row["extrapolated"], "wan_coinn_gpu_s wan_coinn_cpu_s");
    assertEquals(row["wan_cryptgpu_gpu_s"], "3.777");
  });

  it("takes speed-ups over the recorded rivals of the link, the public code not among them", () => {
    const [row] = derive([latency({ model: "minionn-bn", online_ms: 10, one_way_delays: 16 })]);
    assertAlmostEquals(numberOf(row, "wan_honeybadger_least"), 3.777 / 0.81, 1e-4);
    assertAlmostEquals(numberOf(row, "wan_honeybadger_most"), 18.504 / 0.81, 1e-3);
    assert(numberOf(row, "wan_public_code_s") < 3.777);
  });

  it("says the least size and every commit and machine behind a row", () => {
    const [row] = derive([
      latency({ size: "full", commit: "def" }),
      latency({ profile: "wan", machine: "another machine" }),
    ]);
    assertEquals([row["size"], row["commit"], row["machine"]], [
      "quick",
      "def; abc",
      "a machine; another machine",
    ]);
  });

  it("has the networks of the paper in the committed results, each with the WAN of lifted and honeybadger", async () => {
    const tables = await readResults("results", experiments.map(({ key }) => key));
    const rows = derive(dataOf(tables, reference).rows("inference_latency"));
    assertEquals(rows.map((row) => `${row["network"]} ${row["dataset"]}`), [
      ...["MiniONN-BN", "VGG-16", "ResNet-18", "ResNet-110"].map((name) => `${name} CIFAR-10`),
      ...["ResNet-32", "ResNet-18", "VGG-16"].map((name) => `${name} CIFAR-100`),
      "ResNet-50 ImageNet",
    ]);
    for (const row of rows) {
      assert(numberOf(row, "wan_lifted_s") > 0 && numberOf(row, "wan_honeybadger_s") > 0);
    }
    assertEquals(speedupTable.table!(rows, reference).length, 16);
  });
});

it("the recorded one-way delays are the slopes of the recorded lines", () => {
  for (const row of reference("rival_delays")) {
    const line = reference("timing_2023").find((other) =>
      ["dataset", "model", "method"].every((column) => other[column] === row[column]) &&
      other["device"] === "gpu"
    )!;
    const slope = (numberOf(line, "rtt100") - numberOf(line, "rtt0")) / 0.05;
    assert(Math.abs(slope / numberOf(row, "one_way_delays") - 1) < 0.005, `${row["model"]}: ${slope}`);
  }
});
