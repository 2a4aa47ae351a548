import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { besideGauge } from "./_gauge.ts";

const context = (size: "smoke" | "quick") => ({ size, seed: 1, note: () => {} });
const rows = () => Promise.resolve([{ online_ms: 20 }, { online_ms: 21 }]);

it("a cell's rows carry the median and the quartiles of the gauge before and after it", async () => {
  const readings = [[30, 32, 34], [40, 42, 44]],
    read = () => Promise.resolve({ gauge: "a clock", times: readings.shift()! });
  const measured = await besideGauge(context("quick"), rows, read);
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
