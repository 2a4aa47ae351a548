/** `lifted` private inference beside plaintext TensorFlow.js of the same network, in turns on the same machine. */
import { buildModel, countModel } from "../mod.ts";
import { infer, type Inference, PERMISSIONS } from "./_infer.ts";
import { type Cell, defineExperiment, numberOf, runJson, type Size } from "./experiment.ts";

interface Plaintext {
  readonly times: readonly number[];
}

interface SpeedCell extends Cell {
  readonly model: string;
  readonly profile: string;
}

const MODELS: Record<Size, readonly string[]> = {
  smoke: ["minionn-bn"],
  quick: ["minionn-bn", "resnet18", "resnet32"],
  full: ["minionn-bn", "resnet18", "vgg16-bn-avg", "resnet32", "resnet110", "resnet50-avg"],
};
const PROFILES: Record<Size, readonly string[]> = {
  smoke: ["none"],
  quick: ["none"],
  full: ["none", "lan", "wan-400mbit"],
};
/** Turns of private and plaintext inference, and queries a turn. */
const TURNS: Record<Size, number> = { smoke: 1, quick: 1, full: 4 };
const QUERIES: Record<Size, number> = { smoke: 5, quick: 25, full: 25 };
const WARM_UP = 10;
const YARDSTICKS = ["relu", "quartic"] as const;

const plaintext = async (model: string, activation: string, repetitions: number) =>
  await runJson([
    ...PERMISSIONS,
    "src/cli/plaintext.ts",
    ...[
      "--model",
      model,
      "--activation",
      activation,
      "--repetitions",
      String(repetitions),
      "--warm-up",
      String(WARM_UP),
      "--json",
    ],
  ], { timeoutSeconds: 1800 }) as Plaintext;

export const speedOfPlaintext = defineExperiment<SpeedCell>({
  key: "speed_of_plaintext",
  title: "Private inference beside plaintext",
  explanation:
    "The online time of a lifted inference (two processes and a dealer, fresh correlations for every query, one thread a party) " +
    "and the time of TensorFlow.js (WebAssembly, SIMD, one thread, batch norm folded) on the same network, in turns of 25 queries. " +
    "A ratio below 1 means that the private inference answered sooner. The offline work of each query is in its own column.",
  columns: {
    model: "network",
    profile: "network between the parties",
    tfjs_activation: "relu, or quartic: exactly the network that the private inference evaluates",
    queries: "queries of each kind",
    online_ms: "online phase of lifted, median of the turns' medians",
    tfjs_ms: "TensorFlow.js, median",
    ratio: "online_ms / tfjs_ms",
    offline_ms: "offline phase of a query, median",
    offline_bytes: "bytes from the dealer per query",
    offline_party_bytes: "bytes from the client to the server per query, before the image is known",
    online_bytes: "bytes that both parties send online",
    bytes_per_activation: "online_bytes over the activations of the network",
  },
  cells: (size) =>
    MODELS[size].flatMap((model) =>
      PROFILES[size].map((profile) => ({ id: `${model} ${profile}`, model, profile, seconds: 25 }))
    ),
  async run({ model, profile }, { size, seed }) {
    const runs: Inference[] = [], times = new Map<string, number[]>(YARDSTICKS.map((name) => [name, []]));
    for (let turn = 0; turn < TURNS[size]; turn++) {
      runs.push(
        await infer(
          ...[
            "--model",
            model,
            "--activation",
            "lifted",
            "--profile",
            profile,
            "--repetitions",
            QUERIES[size],
          ],
          ...["--warm-up", WARM_UP, "--seed", seed, "--timeout", 600],
        ),
      );
      for (const name of YARDSTICKS) {
        times.get(name)!.push(...(await plaintext(model, name, QUERIES[size])).times);
      }
    }
    const online = middle(runs.map((run) => run.online.medianMs)), { bytesSent, offline } = runs[0]!;
    const bytes = bytesSent.server + bytesSent.client, { activations } = countModel(buildModel(model));
    return YARDSTICKS.map((name) => {
      const tfjs = middle(times.get(name)!);
      return {
        model,
        profile,
        tfjs_activation: name,
        queries: TURNS[size] * QUERIES[size],
        online_ms: online,
        tfjs_ms: tfjs,
        ratio: online / tfjs,
        offline_ms: middle(runs.map((run) => run.offline.ms)),
        offline_bytes: offline.bytes,
        offline_party_bytes: offline.partyBytes,
        online_bytes: bytes,
        bytes_per_activation: bytes / activations,
      };
    });
  },
  figures(rows) {
    const own = rows.filter((row) => row["profile"] === "none"),
      models = [...new Set(own.map((row) => row["model"]!))];
    const of = (model: string, name: string, column: string) => {
      const row = own.find((r) => r["model"] === model && r["tfjs_activation"] === name);
      return row === undefined ? null : numberOf(row, column);
    };
    return [{
      kind: "bars",
      name: "speed_of_plaintext",
      caption:
        "One image: online time of lifted private inference, and plaintext TensorFlow.js of the same network with ReLU and with the quartic; one thread each.",
      width: "double",
      categories: models,
      y: { title: "time (ms)", scale: "log" },
      labels: true,
      series: [
        { name: "lifted, private", style: 4, values: models.map((model) => of(model, "relu", "online_ms")) },
        {
          name: "TensorFlow.js, ReLU",
          style: 0,
          values: models.map((model) => of(model, "relu", "tfjs_ms")),
        },
        {
          name: "TensorFlow.js, quartic",
          style: 2,
          values: models.map((model) => of(model, "quartic", "tfjs_ms")),
        },
      ],
    }];
  },
});

const middle = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;
