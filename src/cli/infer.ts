/** `deno task infer`: a private inference by three processes on this machine, checked against plaintext engines. */
import { costOf, type Plan } from "../inference/plan.ts";
import { classOf, type QueryFigures } from "../inference/roles.ts";
import { evaluateLogits } from "../models/float_engine.ts";
import { foldBatchNorm } from "../models/fold.ts";
import { fixedPointLogits } from "../inference/oracle.ts";
import { median, quartiles } from "../report/statistics.ts";
import { runCommand } from "./command.ts";
import {
  activationFunction,
  formatPolynomialOption,
  INFER_OPTIONS,
  LINK_OPTIONS,
  PLAN_OPTIONS,
  PREPARE_OPTION,
  profileFrom,
} from "./inference_options.ts";
import { imageFrom, networkAndPlan } from "./network_and_plan.ts";
import { FAST_KERNELS, type InferenceRunFigures, runInference } from "./processes.ts";
import { Progress } from "./progress.ts";
import { formatTable } from "./table.ts";

await runCommand({
  name: "infer",
  summary: "classify an image by a private inference of three processes on this machine",
  notes:
    "Server, client and dealer run with narrow permissions over loopback TCP, shaped as --profile says. The logits are " +
    "compared with plaintext engines in floating and fixed point. With --prepare N the correlations of N queries are dealt before " +
    "the first of them runs; when they are used up, those of the next N.",
  time: "seconds; ResNet-50 a minute",
  examples: [
    "infer --model resnet18 --activation espn --profile wan",
    "infer --model minionn-bn --linear beaver --repetitions 20 --json",
  ],
  interrupted: "the three processes were ended",
  options: { ...PLAN_OPTIONS, ...LINK_OPTIONS, ...INFER_OPTIONS, prepare: PREPARE_OPTION },
  async run(options) {
    const profile = profileFrom(options.profile);
    const { model, plan } = await networkAndPlan(options);
    const image = await imageFrom(options, model.graph);
    const folded = foldBatchNorm(model.graph, model.weights);
    const activation = activationFunction(options.activation, plan.options.polynomial);
    const float = evaluateLogits(folded.graph, folded.weights, activation, image);
    const fixed = fixedPointLogits(plan, folded.weights, image);

    const queries = options.repetitions + options.warmUp;
    const progress = options.json
      ? null
      : new Progress(`${plan.graph.name}, ${options.activation}`, queries, { unit: "queries" });
    let done = 0;
    const figures = await runInference({
      plan: [...planArguments(plan, options.elements), "--threads", String(options.threads)],
      server: model.folder === null ? [] : ["--weights", model.folder],
      client: options.image === undefined ? ["--seed", String(options.seed)] : ["--image", options.image],
      parties: [
        ...["--profile", options.profile, "--timeout", String(options.timeout)],
        ...["--prepare", String(options.prepare)],
      ],
      reads: {
        server: model.folder === null ? [] : [model.folder],
        client: options.image === undefined ? [] : [options.image],
      },
      decodesImage: options.image !== undefined,
      fastKernels: options.fastKernels,
      queries,
      onQuery: () => progress?.update(++done),
    });
    progress?.finish();

    const result = {
      model: plan.graph.name,
      classes: plan.classes,
      activation: options.activation,
      linear: options.linear,
      profile: profile.name,
      ringBits: plan.lifted?.ringBits ?? 64,
      fractionBits: plan.lifted?.valueBits ?? options.fractionBits,
      repetitions: options.repetitions,
      threads: options.threads,
      prepare: options.prepare,
      ...summarise(figures, options.warmUp),
      ...compare(figures.queries, float, fixed),
      paperExchanges: costOf(plan).paperExchanges,
      flags: options.fastKernels ? [FAST_KERNELS] : [],
    };
    if (options.json) console.log(JSON.stringify(result));
    else print(result);
  },
});

function planArguments({ graph, classes, options }: Plan, elements: number | undefined): string[] {
  return [
    elements === undefined
      ? ["--model", graph.name, "--classes", String(classes)]
      : ["--elements", String(elements)],
    ["--activation", options.activation],
    ["--linear", options.linear],
    ["--fraction-bits", String(options.fractionBits)],
    options.ringBits === undefined ? [] : ["--ring-bits", String(options.ringBits)],
    // With "=", since a list of numbers may begin with a minus.
    [`--polynomial=${formatPolynomialOption(options.polynomial)}`],
  ].flat();
}

/** Medians over the queries after the warm-up. */
function summarise({ setup, queries, peakRssMB }: InferenceRunFigures, warmUp: number) {
  const counted = queries.slice(warmUp), last = counted.at(-1)!;
  const of = (figure: (query: QueryFigures) => number) => counted.map(figure);
  const online = of((query) => query.onlineMs), { low, high } = quartiles(online);
  return {
    exchanges: last.exchanges,
    oneWayDelays: last.oneWayDelays,
    bytesSent: last.bytesSent,
    setup: { ms: round(setup.ms), bytes: setup.bytes },
    offline: {
      ms: round(median(of((query) => query.offlineMs))),
      bytes: last.offlineBytes,
      partyBytes: last.offlinePartyBytes,
    },
    heldBytes: last.heldBytes,
    online: { medianMs: round(median(online)), q1Ms: round(low), q3Ms: round(high) },
    computeMs: {
      server: round(median(of((query) => query.computeMs.server))),
      client: round(median(of((query) => query.computeMs.client))),
    },
    peakRssMB,
  };
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** Opened logits of all queries against the plaintext engines. */
function compare(queries: readonly QueryFigures[], float: Float64Array, fixed: Float64Array) {
  const fromFloat = distance(queries, float), fromFixed = distance(queries, fixed);
  const best = classOf(float);
  return {
    maxAbsError: fromFloat.max,
    meanAbsError: fromFloat.mean,
    oracleMaxAbsError: fromFixed.max,
    largestLogit: float.reduce((max, logit) => Math.max(max, Math.abs(logit)), 0),
    argmaxAgrees: queries.every(({ logits }) => classOf(logits) === best),
    label: classOf(queries.at(-1)!.logits),
  };
}

/** Largest and mean difference of the logits of all queries. A loop: a single layer may open millions of values. */
function distance(queries: readonly QueryFigures[], expected: Float64Array): { max: number; mean: number } {
  let max = 0, sum = 0;
  for (const { logits } of queries) {
    for (let i = 0; i < expected.length; i++) {
      const difference = Math.abs(logits[i]! - expected[i]!);
      max = Math.max(max, difference);
      sum += difference;
    }
  }
  return { max, mean: sum / (queries.length * expected.length) };
}

type Result = ReturnType<typeof summarise> & ReturnType<typeof compare> & {
  readonly prepare: number;
  readonly [key: string]: unknown;
};

function print(result: Result): void {
  const ms = (value: number) => `${value.toFixed(1)} ms`,
    mb = (bytes: number) => `${(bytes / 1e6).toFixed(2)} MB`;
  const { setup, offline, online, heldBytes, bytesSent, computeMs, peakRssMB } = result;
  console.log(
    `${result.model} (${result.classes} classes), ${result.activation} + ${result.linear}, network ${result.profile}\n`,
  );
  console.log(formatTable([
    { phase: "set-up, once", time: ms(setup.ms), traffic: mb(setup.bytes), note: "masked weights" },
    {
      phase: "offline, per query",
      time: ms(offline.ms),
      traffic: mb(offline.bytes),
      note: offline.partyBytes === 0
        ? "from the dealer"
        : `from the dealer; ${mb(offline.partyBytes)} more between the parties`,
    },
    {
      phase: "online, per query",
      time: ms(online.medianMs),
      traffic: mb(bytesSent.server + bytesSent.client),
      note: `quartiles ${online.q1Ms.toFixed(1)} to ${
        online.q3Ms.toFixed(1)
      } ms, ${result.oneWayDelays} one-way delays`,
    },
  ]));
  console.log(
    `\nserver sent ${mb(bytesSent.server)}, client ${mb(bytesSent.client)}; computing ${
      ms(computeMs.server)
    } and ${ms(computeMs.client)}; ` +
      `memory server ${peakRssMB.server}, client ${peakRssMB.client}, dealer ${peakRssMB.dealer} MB`,
  );
  if (result.prepare > 1) {
    console.log(
      `${result.prepare} queries prepared at a time, each held in ${mb(heldBytes.server)} at the server and ${
        mb(heldBytes.client)
      } at the client`,
    );
  }
  console.log(
    `class ${result.label}${
      result.argmaxAgrees ? ", as in plaintext" : ", NOT as in plaintext"
    }; logits differ by at most ` +
      `${result.maxAbsError.toExponential(1)} from floating point, ${
        result.oracleMaxAbsError.toExponential(1)
      } from fixed point ` +
      `(largest logit ${result.largestLogit.toFixed(3)})`,
  );
}
