import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { OnnxGauge } from "../src/bench/onnx_gauge.ts";
import type { NewRow } from "../src/reproduction/experiment.ts";
import { besideGauge } from "./_gauge.ts";

const context = (size: "smoke" | "quick") => ({ size, seed: 1, note: () => {} });
const rows = () => Promise.resolve([{ online_ms: 20 }, { online_ms: 21 }]);

/** Rows but for what other processes did meanwhile, which is a number, or null where the system does not say. */
const withoutOthers = async (measured: Promise<readonly NewRow[]>) =>
  (await measured).map(({ others_cores, ...row }) => {
    assert(others_cores === null || Number(others_cores) >= 0);
    return row;
  });

it("a cell's rows carry the median and the quartiles of the gauge before and after it", async () => {
  const readings = [[30, 32, 34], [40, 42, 44]],
    read = () => Promise.resolve({ gauge: "a clock", times: readings.shift()! });
  const measured = await withoutOthers(besideGauge(context("quick"), rows, read));
  const gauge = { gauge: "a clock", gauge_ms: 37, gauge_q1_ms: 32.5, gauge_q3_ms: 41.5 };
  assertEquals(measured, [{ online_ms: 20, ...gauge }, { online_ms: 21, ...gauge }]);
  // The reading after it is the one before the next cell.
  readings.push([50, 52, 54]);
  assertEquals((await besideGauge(context("quick"), rows, read))[0]["gauge_ms"], 47);
  assertEquals(readings, []);
});

it("smoke reads no gauge", async () =>
  assertEquals(
    await besideGauge(context("smoke"), rows, () => Promise.reject(new Error("read"))),
    [{ online_ms: 20 }, { online_ms: 21 }],
  ));

it("one process gives every reading, where ONNX Runtime is to be had", async () => {
  await using gauge = await OnnxGauge.open("convnet");
  if (gauge === undefined) return console.log("ONNX Runtime does not load here");
  for (const queries of [3, 2]) {
    const times = await gauge.read({ queries, warmUp: 1 });
    assert(times.length === queries && times.every((ms) => ms > 0));
  }
});
