import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Data } from "./claim.ts";
import type { Row } from "./csv.ts";
import { excuse, gaugeOf, isSameKind, loopbackNoise, noiseOf, type Timing } from "./gauge.ts";

const EPYC = "AMD EPYC, 2 cores, 24 GiB";
const data = (tables: Record<string, Row[]> = {}): Data => ({
  rows: (key) => tables[key] ?? [],
  reference: () => [
    { impl: "PyTorch float32", model: "resnet18", activation: "quartic", median_s: "0.0138" },
    { impl: "PyTorch float32", model: "resnet18", activation: "relu", median_s: "0.0125" },
  ],
});
const row = (ms: number, low = ms, high = ms, gauge = "TensorFlow.js"): Row => ({
  ...{ cell: "a cell", commit: "abc", size: "quick", machine: EPYC, gauge },
  ...{ gauge_ms: String(ms), gauge_q1_ms: String(low), gauge_q3_ms: String(high) },
});

describe("noiseOf()", () => {
  const text = (row: Row) => noiseOf(row, data())?.text;
  it("finds nothing where the gauge is as fast as it should be and steady", () => {
    assertEquals(text(row(34, 33, 36)), undefined);
    assertEquals(text(row(39, 38, 40)), undefined);
    // A faster machine is no excuse.
    assertEquals(text(row(20)), undefined);
  });
  it("names a gauge that is slow, with both numbers", () =>
    assertEquals(text(row(68)), "where TensorFlow.js takes 68.0 ms in place of 34.0"));
  it("blames the machine for a slow gauge where it is of another kind, and noise where it is not", () => {
    const kind = (machine: string) => noiseOf({ ...row(68), machine }, data())?.kind;
    assertEquals([kind(EPYC), kind("Ampere Altra, 4 cores")], ["noise", "machine"]);
  });
  it("names a gauge that is slower than the fastest of its run, on a machine that is faster than the reference", () => {
    const run = { inference_latency: [row(20)], speed_of_plaintext: [{ ...row(15), commit: "another" }] };
    const text = (row: Row) => noiseOf(row, data(run))?.text;
    assertEquals(text(row(22)), undefined);
    // Shards of one run may be of several machines: a fast one makes no slow one noisy.
    assertEquals(text({ ...row(30), machine: "AMD EPYC of another generation" }), undefined);
    assertEquals(text(row(30)), "where TensorFlow.js takes 30.0 ms in place of 20.0");
  });
  it("names other processes that worked at the same time, whatever the gauge says", () => {
    assertEquals(text({ ...row(34), others_cores: "0.1" }), undefined);
    assertEquals(
      text({ ...row(34), others_cores: "0.94" }),
      "where other processes kept 0.9 cores busy",
    );
  });
  it("names quartiles more than 15 % apart", () => {
    assertEquals(text(row(34, 32, 37)), undefined);
    assertEquals(
      text(row(34, 32, 37.2)),
      "where the quartiles of TensorFlow.js are 15\u00a0% apart",
    );
  });
  it("names the cell's own quartiles where they are far apart", () => {
    const own = (q3: string) => ({ online_ms: "20", online_q1_ms: "19", online_q3_ms: q3 });
    assertEquals(text({ ...row(34), ...own("24") }), undefined);
    assertEquals(text({ ...row(34), ...own("29") }), "where its own quartiles are 50\u00a0% apart");
  });
  it("takes PyTorch's row of the public code for the reference of ONNX Runtime", () => {
    assertEquals(text(row(14, 14, 14, "ONNX Runtime")), undefined);
    assertEquals(
      text(row(25, 25, 25, "ONNX Runtime")),
      "where ONNX Runtime takes 25.0 ms in place of 12.5",
    );
  });
  it("refuses a gauge that it does not know", () => {
    assertThrows(() => text(row(1, 1, 1, "a clock")), RangeError, 'there is no gauge "a clock"');
  });
});

describe("gaugeOf()", () => {
  const old = { cell: "a cell", commit: "abc", size: "quick", machine: EPYC };
  const run = { ...old, profile: "none", model: "resnet18", tfjs_activation: "relu", tfjs_ms: "68" };
  it("is TensorFlow.js of the same run for rows without one of their own", () => {
    const gauge = { name: "TensorFlow.js", ms: 68, quietMs: 34 };
    assertEquals(gaugeOf(old, data({ speed_of_plaintext: [run] })), gauge);
    for (
      const other of [{ commit: "def" }, { size: "full" }, { profile: "lan" }, { model: "resnet32" }, {
        machine: "another",
      }]
    ) {
      assertEquals(gaugeOf(old, data({ speed_of_plaintext: [{ ...run, ...other }] })), undefined);
    }
  });
});

describe("loopbackNoise()", () => {
  const found = (ping: string, slow: string, other: Row = {}) => {
    const run = { commit: "abc", size: "quick", machine: EPYC };
    const loopback = { ...run, profile: "none", measured_rtt_ms: ping };
    const rows = [{ ...loopback, rtt_p99_ms: slow, ...other }];
    return loopbackNoise(run, data({ network_calibration: rows }))?.text;
  };
  it("is what loopback of the same run takes without shaping", () => {
    assertEquals(found("0.041", "0.32"), undefined);
    assertEquals(found("0.38", "0.5"), "where loopback alone takes 0.380 ms");
    assertEquals(found("0.041", "4.2"), "where one loopback ping in a hundred takes 4.2 ms");
    assertEquals(found("0.38", "5", { commit: "def" }), undefined);
    // Shards: the ping of one machine excuses nothing on another, and nothing is held against that one.
    const elsewhere = "where loopback was measured on another machine alone";
    assertEquals(found("0.041", "0.32", { machine: "another" }), elsewhere);
  });
});

describe("excuse()", () => {
  const noise = { kind: "noise", text: "where it is loud" } as const;
  const timing = (ratio: number, cell: string, loud: boolean): Timing => ({
    ratio,
    noise: loud ? noise : undefined,
    cells: [cell],
  });
  const isMet = (ratio: number) => ratio >= 2;
  it("is needed by what is missed only, and names the cells to measure again", () => {
    assertEquals(excuse([timing(3, "a", true), timing(2, "b", false)], isMet), undefined);
    assertEquals(excuse([timing(1, "a", true), timing(2, "b", false), timing(1, "c", true)], isMet), {
      ...noise,
      cells: ["a", "c"],
    });
  });
  it("does not cover a ratio that is missed in quiet", () =>
    assertEquals(excuse([timing(1, "a", true), timing(1, "b", false)], isMet), undefined));
});

it("isSameKind() wants the processor of the public code's measurement and a core a party", () => {
  assertEquals(
    [
      "AMD EPYC, 2 cores, 24 GiB",
      "AMD EPYC 9R45, 16 cores, 64 GiB",
      "AMD EPYC, 1 core, 24 GiB",
      "Intel, 2 cores",
    ]
      .map((machine) => isSameKind({ machine })),
    [true, true, false, false],
  );
});
