/** `deno task infer`: a private inference by three processes on this machine, checked against plaintext engines. */
import { isUnreliable } from "../inference/guard.ts";
import { costOf } from "../inference/cost.ts";
import type { Plan } from "../inference/plan.ts";
import { classOf, type QueryFigures } from "../inference/roles.ts";
import { evaluateLogits } from "../models/float_engine.ts";
import { foldBatchNorm } from "../models/fold.ts";
import { fixedPointLogits } from "../inference/oracle.ts";
import type { InferResult } from "../reproduction/command_results.ts";
import { median, quartiles } from "../report/statistics.ts";
import { runCommand, UsageError } from "../terminal/command.ts";
import {
  ACTIVATION_OPTION,
  formatRangesOption,
  IMAGES_OPTION,
  INFER_OPTIONS,
  LINK_OPTIONS,
  NETWORK_OPTION,
  PLAN_OPTIONS,
  PREPARE_OPTION,
  profileFrom,
  sayPrecision,
} from "../options/inference_options.ts";
import { formatFunctions, functionArguments } from "../options/function_options.ts";
import { activationProtocol } from "../protocols/registry.ts";
import { networkAndPlan, plainNetwork, withDefaults } from "../options/network_and_plan.ts";
import { FAST_KERNELS, type InferenceRunFigures, runInference } from "../roles/processes.ts";
import { Progress } from "../terminal/progress.ts";
import { imagesFrom } from "../options/query_images.ts";
import { formatTable } from "../terminal/table.ts";

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
    "infer --activation honeybadger --linear beaver --repetitions 20 --json",
  ],
  interrupted: "the three processes were ended",
  options: {
    ...PLAN_OPTIONS,
    model: NETWORK_OPTION,
    activation: ACTIVATION_OPTION,
    ...LINK_OPTIONS,
    ...INFER_OPTIONS,
    prepare: PREPARE_OPTION,
    images: IMAGES_OPTION,
    logits: { type: "boolean", help: "with --json: the logits of every query too, and those of plaintext" },
  },
  async run(given) {
    const options = await withDefaults(given);
    if (options.logits && !options.json) throw new UsageError("--logits is part of the result of --json");
    const profile = profileFrom(options.profile);
    const { model, plan } = await networkAndPlan(options);
    sayPrecision(plan);
    const { images, note, label } = await imagesFrom(options, model.graph);
    const plain = plainNetwork(plan, foldBatchNorm(model.graph, model.weights).weights);
    const queries = options.repetitions + options.warmUp;
    const expected = images.slice(0, queries).map((image): Expected => ({
      float: evaluateLogits(plain.graph, plain.weights, plain.activation, image),
      // Of many images one may leave the range of fixed point; the others still count.
      fixed: orNull(options.images !== undefined, () => fixedPointLogits(plan, plain.weights, image)),
    }));

    const progress = options.json
      ? null
      : new Progress(`${plan.graph.name}, ${options.activation}`, queries, { unit: "queries" });
    const file = options.image ?? options.images;
    let done = 0;
    const figures = await runInference({
      plan: [...planArguments(plan, options.elements), "--threads", String(options.threads)],
      server: model.folder === null ? [] : ["--weights", model.folder],
      client: options.image !== undefined
        ? ["--image", options.image]
        : options.images !== undefined
        ? ["--images", options.images]
        : options.drawn !== undefined
        ? ["--drawn", String(options.drawn)]
        : ["--seed", String(options.seed)],
      parties: [
        ...["--profile", options.profile, "--timeout", String(options.timeout)],
        ...["--prepare", String(options.prepare)],
      ],
      reads: {
        server: model.folder === null ? [] : [model.folder],
        client: file === undefined ? [] : [file],
      },
      fastKernels: options.fastKernels,
      bindsCores: options.threads === 1,
      queries,
      onQuery: () => progress?.update(++done),
    });
    progress?.finish();

    const image = plan.wires.get(plan.input)!;
    const result = {
      model: plan.graph.name,
      classes: plan.classes,
      activation: options.activation,
      linear: options.linear,
      profile: profile.name,
      ringBits: image.ringBits,
      fractionBits: image.fractionBits,
      repetitions: options.repetitions,
      threads: options.threads,
      prepare: options.prepare,
      weights: options.weights ?? null,
      note,
      label,
      classNames: model.classNames ?? null,
      ...summarise(figures, options.warmUp),
      ...compare(figures.queries, expected),
      ...verdict(plan, figures.queries),
      paperExchanges: costOf(plan).paperExchanges,
      flags: options.fastKernels ? [FAST_KERNELS] : [],
      ...options.logits ? { answers: answersOf(figures.queries, expected, options.warmUp) } : {},
    } satisfies InferResult;
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
    options.fractionBits === undefined ? [] : ["--fraction-bits", String(options.fractionBits)],
    options.ringBits === undefined ? [] : ["--ring-bits", String(options.ringBits)],
    options.angleBits === undefined ? [] : ["--angle-bits", String(options.angleBits)],
    options.ranges === undefined ? [] : ["--ranges", formatRangesOption(graph, options.ranges)],
    options.force ? ["--force"] : [],
    activationProtocol(options.activation).computes ? [] : functionArguments(formatFunctions(graph, options)),
  ].flat();
}

/** Medians over the queries after the warm-up. */
function summarise({ setup, queries, peakRssMB, cores }: InferenceRunFigures, warmUp: number) {
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
    cores,
  };
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** What the plaintext engines give for an image; `fixed` is null where a value leaves the range of fixed point. */
interface Expected {
  readonly float: Float64Array;
  readonly fixed: Float64Array | null;
}

function orNull<T>(forgive: boolean, compute: () => T): T | null {
  try {
    return compute();
  } catch (error) {
    if (forgive && error instanceof RangeError) return null;
    throw error;
  }
}

/** Opened logits of all queries against the plaintext engines; those with a gross error are counted and left out. */
function compare(queries: readonly QueryFigures[], expected: readonly Expected[]) {
  const all = queries.map(({ logits }, i) => ({ logits, ...expected[i % expected.length]! }));
  const sound = all.filter((answer) => !isGross(answer)), pairs = sound.length > 0 ? sound : all;
  const fromFloat = distance(pairs.map(({ logits, float }) => [logits, float])),
    fromFixed = distance(pairs.flatMap(({ logits, fixed }) => fixed === null ? [] : [[logits, fixed]]));
  const others = pairs.filter(({ logits, float }) => classOf(logits) !== classOf(float));
  return {
    maxAbsError: fromFloat.max,
    meanAbsError: fromFloat.mean,
    oracleMaxAbsError: pairs.some(({ fixed }) => fixed !== null) ? fromFixed.max : null,
    largestLogit: Math.max(...expected.map(({ float }) => largest(float))),
    argmaxAgrees: expected.every(({ float }) => float.every(Number.isFinite)) ? others.length === 0 : null,
    withinError: others.every(({ logits, float }) =>
      float[classOf(float)]! - float[classOf(logits)]! <= 2 * fromFloat.max
    ),
    grossErrors: all.length - sound.length,
  };
}

/** A logit further from fixed point than any rounding: a share was truncated across a wrap-around. */
function isGross({ logits, fixed }: Expected & { readonly logits: readonly number[] }): boolean {
  return fixed !== null && distance([[logits, fixed]]).max > Math.max(1, largest(fixed));
}

function largest(logits: Float64Array): number {
  return logits.reduce((max, logit) => Math.max(max, Math.abs(logit)), 0);
}

/** The class that the client reports: none where the logits of a query are beyond their public bound. */
function verdict(plan: Plan, queries: readonly QueryFigures[]) {
  const unreliable = queries.some(({ logits }) => isUnreliable(plan, logits));
  return { unreliable, class: unreliable ? null : classOf(queries.at(-1)!.logits) };
}

/** Largest and mean difference of logits. A loop: a single layer may open millions of values. */
function distance(
  pairs: readonly (readonly [ArrayLike<number>, Float64Array])[],
): { max: number; mean: number } {
  let max = 0, sum = 0, count = 0;
  for (const [logits, expected] of pairs) {
    for (let i = 0; i < expected.length; i++) {
      const difference = Math.abs(logits[i]! - expected[i]!);
      max = Math.max(max, difference);
      sum += difference;
    }
    count += expected.length;
  }
  return { max, mean: sum / count };
}

/** The opened logits of the measured queries beside those of the plaintext engines. */
function answersOf(queries: readonly QueryFigures[], expected: readonly Expected[], warmUp: number) {
  return queries.slice(warmUp).map(({ logits }, i) => {
    const { float, fixed } = expected[(i + warmUp) % expected.length]!;
    return { logits, float: [...float], fixed: fixed === null ? null : [...fixed] };
  });
}

function print(result: InferResult): void {
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
  if (result.note !== null) console.log(result.note);
  if (result.grossErrors > 0) {
    console.log(`${result.grossErrors} queries with a gross error, left out below unless all had one`);
  }
  const fixed = result.oracleMaxAbsError === null
    ? "not compared with fixed point, whose range every query left"
    : `${result.oracleMaxAbsError.toExponential(1)} from fixed point`;
  console.log(
    `${classText(result)}; logits differ by at most ${
      result.maxAbsError.toExponential(1)
    } from floating point, ` +
      `${fixed} (largest logit ${result.largestLogit.toFixed(3)})`,
  );
}

/** The class, what the picture shows, and whether plaintext says the same. */
function classText(
  { unreliable, class: found, label, classNames, argmaxAgrees, withinError }: InferResult,
): string {
  if (unreliable) return "unreliable: logits beyond their public bound, no class";
  const named = (label: number) => classNames === null ? `${label}` : `${label} (${classNames[label]})`;
  const drawn = label === null ? "" : label === found ? ", as drawn" : `, drawn was ${named(label)}`;
  const plaintext = argmaxAgrees === null
    ? "plaintext has none: its logits are not finite"
    : argmaxAgrees
    ? "as in plaintext"
    : withinError
    ? "not that of plaintext, whose logits of the two are closer than the error"
    : "NOT as in plaintext";
  return `class ${named(found!)}${drawn}, ${plaintext}`;
}
