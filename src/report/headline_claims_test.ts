import { assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { checkClaim, type Data } from "./claim.ts";
import type { Row } from "./csv.ts";
import { headlineClaims } from "./headline_claims.ts";

const EPYC = "AMD EPYC, 2 cores, 24 GiB, Linux, Deno 2.9.6";
const network = (name: string, ours: number, rivals: Record<string, number>, extrapolated = ""): Row => ({
  ...{ cell: name, network: name, dataset: "CIFAR-10", model: name, lifted_model: name, size: "quick" },
  ...{ wan_honeybadger_s: String(ours), wan_lifted_s: String(ours), extrapolated },
  ...Object.fromEntries(Object.entries(rivals).map(([column, seconds]) => [column, String(seconds)])),
  // Not one of the recorded rivals: it has no say.
  wan_public_code_s: String(ours),
});
type More = Partial<Record<string, string>>;
/** `latency` is of the row behind `of`, or behind each network. */
const check = (own: Row[], latency: More = {}, id = "headline-range", of?: string) => {
  const rows = [
    ...own,
    ...Array.from({ length: 8 - own.length }, (_, i) => network(`other ${i}`, 1, { wan_cryptgpu_gpu_s: 5 })),
  ];
  const behind = rows.map(({ model, lifted_model }): Row => ({
    ...{ cell: `${model} wan`, activation: "honeybadger", linear: "masked", profile: "wan", machine: EPYC },
    model: id === "headline-range" ? model : lifted_model,
    ...(of === undefined || of === model ? latency as Row : {}),
  }));
  const data: Data = {
    rows: (key) => key === "speedup_table" ? rows : key === "inference_latency" ? behind : [],
    reference: () => [],
  };
  return checkClaim(headlineClaims.find((claim) => claim.id === id)!, data);
};
const small = network("small", 1, { wan_cryptgpu_gpu_s: 4, wan_coinn_gpu_s: 20 });
const large = network("large", 8, { wan_cryptgpu_gpu_s: 35, wan_coinn_gpu_s: 1189 }, "wan_coinn_gpu_s");

describe("headline-range", () => {
  it("holds by the smallest and the largest speed-up, and says which was extrapolated", () => {
    const { verdict, measured } = check([small, large]);
    assertEquals(verdict, "holds");
    assertEquals(
      measured,
      "4.0 to 149x; smallest over CryptGPU, GPU, small on CIFAR-10; largest over COINN, GPU, large on CIFAR-10, extrapolated " +
        "beyond its plot; inside a plot at most 20x",
    );
  });
  it("fails if one rival is too near or none is far enough", () => {
    assertEquals(check([small]).verdict, "fails");
    assertEquals(check([network("near", 1, { wan_gforce_gpu_s: 2.9 }), large]).verdict, "fails");
  });
  it("is not judged, if missed, on another kind of machine or where the gauge says noise", () => {
    assertEquals(check([small], { machine: "Ampere Altra, 4 cores" }).verdict, "not judged here");
    const noise = { gauge: "TensorFlow.js", gauge_ms: "68" };
    const noisy = check([small], noise);
    assertEquals([noisy.verdict, noisy.obstacle?.cells], ["not judged here", ["small wan"]]);
    assertEquals(check([small, large], noise).verdict, "holds");
  });
  it("fails in quiet, whatever the noise was where other networks were timed", () => {
    const noise = { gauge: "TensorFlow.js", gauge_ms: "68" }, id = "headline-range";
    const near = network("near", 1, { wan_gforce_gpu_s: 2.9 });
    assertEquals(check([near, large], noise, id, "near").verdict, "not judged here");
    assertEquals(check([near, large], noise, id, "large").verdict, "fails");
    // Both the nearest and the farthest miss; each needs an excuse of its own.
    assertEquals(check([near, small], noise, id, "near").verdict, "fails");
  });
  it("is not measured where a network is missing", () => {
    const table = (rows: Row[]): Data => ({
      rows: (key) => key === "speedup_table" ? rows : [],
      reference: () => [],
    });
    const seven = Array.from({ length: 7 }, (_, i) => network(`n ${i}`, 1, { wan_cryptgpu_gpu_s: 5 }));
    const verdict = (rows: Row[]) => checkClaim(headlineClaims[0], table(rows)).verdict;
    assertEquals(verdict(seven), "not measured");
    // A network that was left out may still have a row, by another protocol.
    const { wan_honeybadger_s: _, ...rest } = large;
    assertEquals(verdict([...seven, rest]), "not measured");
    assertEquals(verdict([...seven, large]), "holds");
  });
  it("names the other network that lifted evaluates", () => {
    const { measured } = check(
      [small, { ...large, lifted_model: "large-avg" }],
      { activation: "lifted" },
      "headline-range-lifted",
    );
    assertStringIncludes(measured, "ResNet-50 here with average pooling, another network");
  });
});
