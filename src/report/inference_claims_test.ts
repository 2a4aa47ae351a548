import { assertEquals } from "@std/assert";
import { checkClaim, type Data } from "./claim.ts";
import type { Row } from "./csv.ts";
import { inferenceClaims } from "./inference_claims.ts";

const EPYC = "AMD EPYC, 2 cores, 24 GiB, Linux, Deno 2.9.6";
const RUN = { size: "quick", commit: "abc", profile: "none" };

/** Verdict and text of `speed-masked-honeybadger` (at least 12x) where the public code takes 1 s. */
function speedVerdict(
  onlineMs: number,
  { machine = EPYC, tensorflow = { ...RUN, tfjs_ms: "34" } as Row } = {},
) {
  const own = (model: string): Row => ({
    ...RUN,
    ...{ model, linear: "masked", activation: "honeybadger", online_ms: String(onlineMs), machine },
  });
  const theirs = {
    impl: "CrypTen-ESPN",
    activation: "espn",
    mode: "online_only",
    net: "loopback",
    median_s: "1",
  };
  const tables: Readonly<Record<string, Row[]>> = {
    inference_latency: ["resnet18", "resnet32"].map(own),
    speed_of_plaintext: [{ model: "resnet18", tfjs_activation: "relu", ...tensorflow }],
  };
  const data: Data = {
    rows: (key) => tables[key] ?? [],
    reference: () => ["resnet18", "resnet32"].map((model) => ({ ...theirs, model })),
  };
  const claim = inferenceClaims.find(({ id }) => id === "speed-masked-honeybadger")!;
  const { verdict, measured } = checkClaim(claim, data);
  return [verdict, measured];
}

Deno.test("a speed claim holds or fails by its ratio on a machine as fast as that of the public code", () => {
  assertEquals(speedVerdict(80), ["holds", "12.5 to 12.5x"]);
  assertEquals(speedVerdict(100), ["fails", "10.0 to 10.0x"]);
  assertEquals(speedVerdict(100, { tensorflow: { ...RUN, tfjs_ms: "44" } }), ["fails", "10.0 to 10.0x"]);
});

Deno.test("a speed claim that a slow machine misses is not judged; one that it meets holds", () => {
  const tensorflow = { ...RUN, tfjs_ms: "68" };
  assertEquals(speedVerdict(100, { tensorflow }), [
    "not judged",
    "10.0 to 10.0x, on a machine 2.0 times slower",
  ]);
  assertEquals(speedVerdict(80, { tensorflow }), ["holds", "12.5 to 12.5x"]);
});

Deno.test("a speed claim fails on a slow machine where slowness does not explain what is missing", () => {
  const tensorflow = { ...RUN, tfjs_ms: "68" };
  assertEquals(speedVerdict(200, { tensorflow }), ["fails", "5.0 to 5.0x"]);
});

Deno.test("TensorFlow.js's time in another run excuses nothing", () => {
  for (const other of [{ commit: "def" }, { size: "full" }, { profile: "lan" }]) {
    const tensorflow = { ...RUN, tfjs_ms: "68", ...other };
    assertEquals(speedVerdict(100, { tensorflow }), ["fails", "10.0 to 10.0x"], JSON.stringify(other));
  }
});

Deno.test("a speed claim is not judged on another kind of machine", () =>
  assertEquals(speedVerdict(10, { machine: "Ampere Altra, 4 cores" }), [
    "not judged",
    "100.0 to 100.0x, on another kind of machine",
  ]));

Deno.test("the LAN's ping is not judged where loopback alone takes as long, but a too short one fails", () => {
  const claim = inferenceClaims.find(({ id }) => id === "lan-is-real")!;
  const verdict = (lan: string, loopback: string) => {
    const rows = [["lan", lan], ["none", loopback]].map(([profile, measured_rtt_ms]): Row => ({
      ...{ size: "quick", profile: profile!, measured_rtt_ms: measured_rtt_ms! },
    }));
    return checkClaim(claim, { rows: () => rows, reference: () => [] }).verdict;
  };
  assertEquals(verdict("0.26", "0.04"), "holds");
  assertEquals(verdict("0.26", "0.38"), "holds");
  assertEquals(verdict("0.52", "0.38"), "not judged");
  assertEquals(verdict("0.52", "0.04"), "fails");
  assertEquals(verdict("0.1", "0.38"), "fails");
});
