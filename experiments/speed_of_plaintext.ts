/** `lifted` and `trigonometric` private inference beside three plaintext engines of the same network, in turns on the same machine. */
import { buildModel, countModel } from "../mod.ts";
import { needsOf } from "./_needs.ts";
import { withGauge } from "./_gauge.ts";
import { infer } from "./_infer.ts";
import { plaintext } from "./_plaintext.ts";
import { secondsInTheClear, secondsPerQuery, warmUpInTheClear, warmUpOf } from "./_warm_up.ts";
import { median } from "../src/report/statistics.ts";
import type { InferResult, PlaintextRuntime } from "../src/reproduction/command_results.ts";
import { type Cell, defineExperiment, optionalNumber, type Size } from "../src/reproduction/experiment.ts";

interface SpeedCell extends Cell {
  readonly model: string;
  readonly profile: string;
}

const MODELS: Record<Size, readonly string[]> = {
  smoke: ["minionn-bn"],
  quick: ["minionn-bn", "resnet18", "resnet32", "roundnet"],
  full: ["minionn-bn", "resnet18", "vgg16-bn-avg", "resnet32", "resnet110", "roundnet", "resnet50-avg"],
};
const PROFILES: Record<Size, readonly string[]> = {
  smoke: ["none"],
  quick: ["none"],
  full: ["none", "lan", "wan-400mbit"],
};
/** How a cell is measured: turns of private and plaintext inference, and queries a turn, after others that do not count. */
interface Schedule {
  readonly turns: number;
  readonly queries: number;
  readonly warmUp: number;
  /** The same in the clear. */
  readonly clear: { readonly queries: number; readonly warmUp: number };
}

/** At full size at least 100 queries without delay; with delays fewer do, as these are certain. */
function scheduleOf(size: Size, model: string, profile: string): Schedule {
  if (size === "smoke") return { turns: 1, queries: 5, warmUp: 10, clear: { queries: 25, warmUp: 10 } };
  const clear = { queries: 25, warmUp: warmUpInTheClear(model) };
  if (profile.startsWith("wan")) return { turns: 1, queries: 3, warmUp: 1, clear };
  const turns = size === "full" && profile === "none" ? 4 : 1;
  return { turns, queries: 25, warmUp: warmUpOf(model), clear };
}

const YARDSTICKS = ["relu", "quartic"] as const;

/** Smoke times nothing that counts, and does not download what it can do without: 33 MB for the web, 113 MB for the native one. */
const runtimesOf = (size: Size): readonly PlaintextRuntime[] =>
  size === "smoke" ? ["tfjs"] : ["tfjs", "onnx-web", "onnx-native"];

/** What one runtime did with one activation: times, or why there are none. */
class Timed {
  readonly #times: number[] = [];
  missing: string | null = null;

  async turn(question: Parameters<typeof plaintext>[0]): Promise<void> {
    const found = await plaintext(question);
    if ("times" in found) this.#times.push(...found.times);
    else this.missing = found.notLoaded;
  }

  get ms(): number | null {
    return this.#times.length > 0 ? median(this.#times) : null;
  }
}

/** Columns of the report's table: times, and how many times those in the clear ours are. */
const TABLE: Readonly<Record<string, string>> = {
  "lifted, ms": "online_ms",
  "trigonometric, ms": "trigonometric_ms",
  "TensorFlow.js, ms": "tfjs_ms",
  "ONNX native, ms": "native_ms",
  "ONNX Web, ms": "web_ms",
  "lifted over TensorFlow.js": "ratio",
  "over native": "native_ratio",
  "over Web": "web_ratio",
  "offline, ms": "offline_ms",
};

export const speedOfPlaintext = withGauge(defineExperiment<SpeedCell>({
  key: "speed_of_plaintext",
  title: "Private inference beside plaintext",
  explanation:
    "The online time of a lifted inference (two processes and a dealer, fresh correlations for every query, one thread a party) " +
    "and the times of TensorFlow.js and ONNX Runtime Web (both WebAssembly with SIMD) and of ONNX Runtime native (machine code) on the same " +
    "network and weights, batch norm folded, one thread each, in turns, and by trigonometric, which evaluates waves in the place of ReLU. " +
    "The same query by honeybadger + masked follows. " +
    "A ratio below 1 means that the private inference answered sooner. The offline work of each query is in its own column.",
  columns: {
    model: "network",
    profile: "network between the parties",
    tfjs_activation: "relu, or quartic: exactly the network that the private inference evaluates",
    queries: "private queries",
    online_ms: "online phase of lifted, median of the turns' medians",
    tfjs_ms: "TensorFlow.js, median",
    ratio: "online_ms / tfjs_ms",
    native_ms: "ONNX Runtime native, median",
    native_ratio: "online_ms / native_ms",
    native_missing: "why there is no time of ONNX Runtime native, where it was asked for",
    web_ms: "ONNX Runtime Web, median",
    web_ratio: "online_ms / web_ms",
    trigonometric_ms:
      "online phase of trigonometric on the same network with waves, median of the turns' medians",
    trigonometric_ratio: "trigonometric_ms / tfjs_ms",
    honeybadger_ms:
      "online phase of honeybadger + masked on the same network, median of one short turn: warmed up less than lifted, so longer than in inference_latency",
    honeybadger_ratio:
      "honeybadger_ms / online_ms, for the order of magnitude; inference_latency has the ratio of equals",
    offline_ms: "offline phase of a query, median",
    offline_bytes: "bytes from the dealer per query",
    offline_party_bytes: "bytes from the client to the server per query, before the image is known",
    online_bytes: "bytes that both parties send online",
    bytes_per_activation: "online_bytes over the activations of the network",
  },
  cells: (size) =>
    MODELS[size].flatMap((model) =>
      PROFILES[size].map((profile) => {
        const { turns, queries, warmUp, clear } = scheduleOf(size, model, profile);
        const hidden = 2.2 * (queries + warmUp) * secondsPerQuery(model);
        const open = YARDSTICKS.length * runtimesOf(size).length * (clear.queries + clear.warmUp) *
          secondsInTheClear(model);
        const seconds = 10 + turns * (16 + hidden + open);
        return { id: `${model} ${profile}`, model, profile, seconds, ...needsOf(model) };
      })
    ),
  async run({ model, profile }, { size, seed }) {
    const { turns, queries, warmUp, clear } = scheduleOf(size, model, profile);
    const measure = (activation: string, queries: number, warmUp: number) =>
      infer(
        ...["--model", model, "--activation", activation, "--profile", profile],
        ...["--repetitions", queries, "--warm-up", warmUp, "--seed", seed, "--timeout", 600],
      );
    const runs: InferResult[] = [], waves: InferResult[] = [], runtimes = runtimesOf(size);
    const timed = new Map(
      YARDSTICKS.flatMap((name) => runtimes.map((runtime) => [`${name} ${runtime}`, new Timed()])),
    );
    for (let turn = 0; turn < turns; turn++) {
      runs.push(await measure("lifted", queries, warmUp));
      for (const name of YARDSTICKS) {
        for (const runtime of runtimes) {
          await timed.get(`${name} ${runtime}`)!.turn({ model, activation: name, runtime, ...clear });
        }
      }
      waves.push(await measure("trigonometric", queries, warmUp));
    }
    const honeybadger = await measure("honeybadger", Math.min(queries, 10), Math.min(warmUp, 5));
    const onlineOf = (runs: readonly InferResult[]) => median(runs.map((run) => run.online.medianMs));
    const online = onlineOf(runs), trigonometric = onlineOf(waves), { bytesSent, offline } = runs[0];
    const bytes = bytesSent.server + bytesSent.client, { activations } = countModel(buildModel(model));
    return YARDSTICKS.map((name) => {
      const of = (runtime: PlaintextRuntime) => timed.get(`${name} ${runtime}`)?.ms ?? null;
      const tfjs = of("tfjs"), native = of("onnx-native"), web = of("onnx-web");
      const over = (ms: number | null, ours = online) => ms === null ? null : ours / ms;
      return {
        model,
        profile,
        tfjs_activation: name,
        queries: turns * queries,
        online_ms: online,
        tfjs_ms: tfjs,
        ratio: over(tfjs),
        native_ms: native,
        native_ratio: over(native),
        native_missing: timed.get(`${name} onnx-native`)?.missing ?? null,
        web_ms: web,
        web_ratio: over(web),
        trigonometric_ms: trigonometric,
        trigonometric_ratio: over(tfjs, trigonometric),
        honeybadger_ms: honeybadger.online.medianMs,
        honeybadger_ratio: honeybadger.online.medianMs / online,
        offline_ms: median(runs.map((run) => run.offline.ms)),
        offline_bytes: offline.bytes,
        offline_party_bytes: offline.partyBytes,
        online_bytes: bytes,
        bytes_per_activation: bytes / activations,
      };
    });
  },
  table: (rows) =>
    rows.map((row) => ({
      network: row["model"],
      link: row["profile"],
      plaintext: row["tfjs_activation"],
      ...Object.fromEntries(
        Object.entries(TABLE).map(([title, column]) => [title, optionalNumber(row, column) ?? null]),
      ),
    })),
  figures(rows) {
    const own = rows.filter((row) => row["profile"] === "none"),
      models = [...new Set(own.map((row) => row["model"]))];
    const of = (name: string, column: string) =>
      models.map((model) => {
        const row = own.find((r) => r["model"] === model && r["tfjs_activation"] === name);
        return row === undefined ? null : optionalNumber(row, column) ?? null;
      });
    const series = [
      { name: "lifted, private", style: 4, values: of("relu", "online_ms") },
      { name: "trigonometric, private", style: 5, values: of("relu", "trigonometric_ms") },
      { name: "TensorFlow.js, ReLU", style: 0, values: of("relu", "tfjs_ms") },
      { name: "TensorFlow.js, quartic", style: 2, values: of("quartic", "tfjs_ms") },
      { name: "ONNX Runtime Web, ReLU", style: 3, values: of("relu", "web_ms") },
      { name: "ONNX Runtime native, ReLU", style: 1, values: of("relu", "native_ms") },
    ].filter(({ values }) => values.some((value) => value !== null));
    const isNativeFirst = own.length > 0 &&
      own.every((row) => (optionalNumber(row, "native_ratio") ?? 0) > 1);
    const sooner = models.filter((model) =>
      own.some((row) =>
        row["model"] === model && row["tfjs_activation"] === "relu" &&
        (optionalNumber(row, "ratio") ?? Infinity) < 1
      )
    );
    return [{
      kind: "bars",
      name: "speed_of_plaintext",
      see:
        `the private answer by lifted comes sooner than that of TensorFlow.js with ReLU in the clear on ${
          sooner.length === 0 ? "none of the networks" : sooner.join(", ")
        }` +
        (isNativeFirst ? "; machine code is faster on every network." : "."),
      caption:
        "One image, without delay: online time of private inference, and plaintext inference of the same network, with ReLU and with the quartic; one thread each.",
      width: "double",
      categories: models,
      y: { title: "time (ms)", scale: "log" },
      labels: true,
      series,
    }];
  },
}));
