import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { checkClaim, type Data } from "./claim.ts";
import type { Row } from "./csv.ts";
import { inferenceClaims } from "./inference_claims.ts";

const EPYC = "AMD EPYC, 2 cores, 24 GiB, Linux, Deno 2.9.6";
const RUN = { size: "quick", commit: "abc", machine: EPYC, profile: "none" };

/** Verdict and text of `speed-masked-honeybadger` (at least 12x) where the public code takes 1 s. */
function speedVerdict(
  onlineMs: number,
  { machine = EPYC, tensorflow = { ...RUN, tfjs_ms: "34" } as Row, gauge = {} as Row } = {},
) {
  const own = (model: string): Row => ({
    ...RUN,
    ...{ model, linear: "masked", activation: "honeybadger", online_ms: String(onlineMs), machine },
    ...gauge,
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

it("a speed claim holds or fails by its ratio on a machine as fast as that of the public code", () => {
  assertEquals(speedVerdict(80), ["holds", "12.5x"]);
  assertEquals(speedVerdict(100), ["fails", "10.0x"]);
  assertEquals(speedVerdict(100, { tensorflow: { ...RUN, tfjs_ms: "39" } }), ["fails", "10.0x"]);
});

it("a speed claim that a slow machine misses is not judged; one that it meets holds", () => {
  const tensorflow = { ...RUN, tfjs_ms: "68" };
  const slow = "where TensorFlow.js takes 68.0 ms in place of 34.0";
  assertEquals(speedVerdict(100, { tensorflow }), ["not judged here", `10.0x, ${slow}`]);
  assertEquals(speedVerdict(200, { tensorflow }), ["not judged here", `5.0x, ${slow}`]);
  assertEquals(speedVerdict(80, { tensorflow }), ["holds", "12.5x"]);
});

it("TensorFlow.js's time in another run excuses nothing", () => {
  for (const other of [{ commit: "def" }, { size: "full" }, { profile: "lan" }]) {
    const tensorflow = { ...RUN, tfjs_ms: "68", ...other };
    assertEquals(speedVerdict(100, { tensorflow }), ["fails", "10.0x"], JSON.stringify(other));
  }
});

it("the gauge beside a cell judges it, not that of the run", () => {
  const tensorflow = { ...RUN, tfjs_ms: "68" };
  const gauge = { gauge: "TensorFlow.js", gauge_ms: "34", gauge_q1_ms: "33", gauge_q3_ms: "35" };
  assertEquals(speedVerdict(100, { tensorflow, gauge }), ["fails", "10.0x"]);
  assertEquals(speedVerdict(100, { gauge: { ...gauge, gauge_q3_ms: "45" } }), [
    "not judged here",
    "10.0x, where the quartiles of TensorFlow.js are 35\u00a0% apart",
  ]);
});

it("a speed claim is not judged on another kind of machine", () =>
  assertEquals(speedVerdict(10, { machine: "Ampere Altra, 4 cores" }), [
    "not judged here",
    "100.0x, on another kind of machine",
  ]));

/** The verdict of a claim on the rows of network_calibration. */
function linkVerdict(id: string, profiles: Readonly<Record<string, Row>>): string {
  const rows = Object.entries(profiles).map(([profile, row]): Row => ({
    ...{ cell: profile, size: "quick", commit: "abc", machine: EPYC, profile },
    ...row,
  }));
  const claim = inferenceClaims.find((claim) => claim.id === id)!;
  return checkClaim(claim, { rows: () => rows, reference: () => [] }).verdict;
}

it("the LAN's ping is not judged where loopback alone takes as long, but a too short one fails", () => {
  const verdict = (lan: string, loopback: string, slow = "0.3") =>
    linkVerdict("lan-is-real", {
      lan: { measured_rtt_ms: lan },
      none: { measured_rtt_ms: loopback, rtt_p99_ms: slow },
    });
  assertEquals(verdict("0.26", "0.04"), "holds");
  assertEquals(verdict("0.26", "0.38"), "holds");
  assertEquals(verdict("0.52", "0.38"), "not judged here");
  assertEquals(verdict("0.52", "0.04", "4"), "not judged here");
  assertEquals(verdict("0.52", "0.04"), "fails");
  assertEquals(verdict("0.1", "0.38"), "fails");
});

it("a bandwidth is not judged where it is too small and loopback is loud, but a too large one fails", () => {
  const verdict = (measured: string, slow: string) =>
    linkVerdict("bandwidth-is-real", {
      "wan-1gbit": { configured_gbit_s: "1", measured_gbit_s: measured },
      none: { measured_rtt_ms: "0.04", rtt_p99_ms: slow },
    });
  assertEquals(verdict("0.95", "5"), "holds");
  assertEquals(verdict("0.7", "5"), "not judged here");
  assertEquals(verdict("0.7", "0.3"), "fails");
  assertEquals(verdict("1.3", "5"), "fails");
});

it("the time on the WAN is judged against the shaper, unless loopback or the gauge say noise", () => {
  const verdict = (wanMs: string, slow: string, gaugeMs = "34") => {
    const run = {
      size: "quick",
      commit: "abc",
      linear: "masked",
      activation: "relu",
      model: "resnet18",
      machine: EPYC,
    };
    const gauge = { gauge: "TensorFlow.js", gauge_ms: gaugeMs, gauge_q1_ms: gaugeMs, gauge_q3_ms: gaugeMs };
    const latency: Row[] = [
      { ...run, ...gauge, cell: "none", classes: "10", profile: "none", online_ms: "100" },
      {
        ...{ ...run, ...gauge, cell: "wan", classes: "10", profile: "wan", online_ms: wanMs },
        ...{ one_way_delays: "18", rtt_ms: "100" },
      },
    ];
    const loopback = {
      size: "quick",
      commit: "abc",
      machine: EPYC,
      profile: "none",
      measured_rtt_ms: "0.04",
      rtt_p99_ms: slow,
    };
    const tables: Readonly<Record<string, Row[]>> = {
      inference_latency: latency,
      network_calibration: [loopback],
    };
    const claim = inferenceClaims.find(({ id }) => id === "wan-predicted")!;
    const checked = checkClaim(claim, { rows: (key) => tables[key] ?? [], reference: () => [] });
    return [checked.verdict, ...checked.obstacle?.cells ?? []];
  };
  assertEquals(verdict("1020", "5"), ["holds"]);
  assertEquals(verdict("1200", "0.3"), ["fails"]);
  assertEquals(verdict("1200", "5"), ["not judged here", "wan", "none"]);
  assertEquals(verdict("1200", "0.3", "60"), ["not judged here", "wan", "none"]);
});

it("sooner-than-plaintext says both baselines, and judges both", () => {
  const verdict = (native: Row) => {
    const row = {
      ...RUN,
      model: "resnet18",
      tfjs_activation: "relu",
      tfjs_ms: "34",
      ratio: "0.5",
      ...native,
    };
    const data: Data = { rows: () => [row], reference: () => [] };
    const { verdict, measured } = checkClaim(
      inferenceClaims.find(({ id }) => id === "sooner-than-plaintext")!,
      data,
    );
    return [verdict, measured];
  };
  const tensorflow = "0.50 to relu in TensorFlow.js", native = "to relu in ONNX Runtime native";
  assertEquals(verdict({ native_ratio: "1.4" }), ["holds", `${tensorflow}, 1.40 ${native}`]);
  assertEquals(verdict({ native_ratio: "5.3" }), ["fails", `${tensorflow}, 5.30 ${native}`]);
  for (const without of [{}, { native_ratio: "" }] as Row[]) {
    assertEquals(verdict(without), ["holds", `${tensorflow}; ONNX Runtime native not measured`]);
  }
});

/** Verdict and text of a claim on rows of its experiment, all of one size. */
function verdictOn(id: string, given: readonly Row[], reference: readonly Row[] = []) {
  const data: Data = {
    rows: () => given.map((row) => ({ ...RUN, machine: EPYC, ...row })),
    reference: () => reference,
  };
  const { verdict, measured } = checkClaim(inferenceClaims.find((claim) => claim.id === id)!, data);
  return [verdict, measured];
}

it("a speed claim says how fast its rival's fastest polynomial protocol is", () => {
  const models = ["resnet18", "resnet32"];
  const known = (activation: string, median_s: string): Row[] =>
    models.map((model) => ({
      ...{ impl: "CrypTen-ESPN", model, mode: "online_only", net: "loopback", activation, median_s },
    }));
  const own = models.map((model) => ({
    ...{ model, linear: "masked", activation: "honeybadger", online_ms: "50" },
  }));
  const verdict = (rows: readonly Row[]) =>
    verdictOn("speed-masked-honeybadger", rows, [
      ...known("espn", "1"),
      ...known("exact", "0.1"),
      ...known("crypten", "0.8"),
    ]);
  assertEquals(verdict(own), [
    "holds",
    "20.0x; over the fastest polynomial protocol of it and of CrypTen 16.0x",
  ]);
  // It names both networks.
  assertEquals(own.map((row) => verdict([row])[0]), ["not measured", "not measured"]);
});

it("memory-resnet50 wants both protocols that it names", () => {
  const row = (activation: string, rss: string): Row => ({
    ...{ model: "resnet50", linear: "masked", activation },
    ...{ rss_server_mb: rss, rss_client_mb: "900", rss_dealer_mb: "300" },
  });
  const [relu, honeybadger] = [row("relu", "2500"), row("honeybadger", "1900")];
  assertEquals(verdictOn("memory-resnet50", [relu, honeybadger]), [
    "holds",
    "relu 2500 MB, honeybadger 1900 MB",
  ]);
  assertEquals(verdictOn("memory-resnet50", [honeybadger])[0], "not measured");
  assertEquals(verdictOn("memory-resnet50", [relu, row("honeybadger", "2049")])[0], "fails");
});

it("trigonometric-dealt counts a layer alone and the difference in whole inferences", () => {
  const inference = (activation: string, perActivation: number): Row => ({
    ...{ model: "resnet18", classes: "10", activation, offline_party_bytes: "4000" },
    ...{
      offline_bytes: String(1000 * perActivation),
      bytes_server: "1",
      bytes_client: activation === "lifted" ? "2" : "1",
    },
  });
  const verdict = (lifted: number, waves: number, layer: number) =>
    verdictOn("trigonometric-dealt", [
      inference("lifted", lifted),
      inference("trigonometric", waves),
      { protocol: "trigonometric", elements: "4096", offline_bytes: String(64 + 4096 * layer) },
    ]);
  assertEquals(verdict(68, 28, 24), ["holds", "24 bytes; 40 to 40 fewer in 1 pairs"]);
  assertEquals(verdict(69, 28, 24)[0], "fails");
  assertEquals(verdict(168, 128, 124)[0], "fails");
});

it("no-gross-errors wants inferences by both protocols on small rings", () => {
  const none = (protocol: string, gross_errors = "0") => ({ protocol, gross_errors });
  const [lifted, waves] = [none("lifted"), none("trigonometric")];
  assertEquals(verdictOn("no-gross-errors", [lifted, none("honeybadger", "3")])[0], "not measured");
  assertEquals(verdictOn("no-gross-errors", [lifted, waves, none("honeybadger", "3")]), ["holds", "0"]);
  assertEquals(verdictOn("no-gross-errors", [lifted, none("trigonometric", "1")])[0], "fails");
});

it("escaping-inputs fails where lifted spoils more, or where the audit refuses twice the range of the fit", () => {
  const at = (protocol: string, target: string, spoiled_logits: string, refused = "false") => ({
    ...{ protocol, target, spoiled_logits, refused, audited: "true" },
  });
  const others = ["4", "10", "30"].map((target) => at("espn", target, "0.1"));
  const refused = at("lifted", "30", "", "true");
  const verdict = (...lifted: Row[]) => verdictOn("escaping-inputs", [...others, ...lifted])[0];
  assertEquals(verdict(at("lifted", "4", "0"), at("lifted", "10", "0.1"), refused), "holds");
  assertEquals(verdict(at("lifted", "4", "0.2"), at("lifted", "10", "0.1"), refused), "fails");
  assertEquals(verdict(at("lifted", "4", "0"), at("lifted", "10", "", "true"), refused), "fails");
});
