/** `deno task infer`: a private inference by three processes on this machine, checked against plaintext engines. */
import { dirname, join } from "node:path";
import { MODEL_FILE } from "../data/model_folder.ts";
import { answersIn, inGroups, meanOf, viewsOf } from "../inference/batches.ts";
import { costOf } from "../inference/cost.ts";
import type { Plan } from "../inference/plan.ts";
import { classOf, type QueryFigures } from "../inference/parties.ts";
import { evaluateLogits } from "../models/float_engine.ts";
import { foldBatchNorm } from "../models/fold.ts";
import { fixedPointLogits } from "../inference/oracle.ts";
import { DATA_FOLDER } from "../data/cifar.ts";
import type { Classification, InferResult } from "../reproduction/command_results.ts";
import { median, quartiles } from "../report/statistics.ts";
import { type OptionSpecs, type OptionValues, runCommand } from "../terminal/command.ts";
import {
  ACTIVATION_OPTION,
  formatRangesOption,
  INFER_OPTIONS,
  LINK_OPTIONS,
  MANY_IMAGES_OPTIONS,
  MIRROR_OPTION,
  NETWORK_OPTION,
  PLAN_OPTIONS,
  PREPARE_OPTION,
  profileFrom,
  sayPrecision,
} from "../options/inference_options.ts";
import { formatFunctions, functionArguments } from "../options/function_options.ts";
import { activationProtocol } from "../protocols/registry.ts";
import {
  networkAndPlan,
  type PlainNetwork,
  plainNetwork,
  withDefaults,
} from "../options/network_and_plan.ts";
import { type Answer, classify, compareLogits } from "../roles/answers.ts";
import {
  BrokenSession,
  type InferenceRun,
  type InferenceRunFigures,
  runInference,
} from "../roles/processes.ts";
import { Progress } from "../terminal/progress.ts";
import { asksMany, batchFrom, type ImageChoice, imagesFrom, pixelsOf } from "../options/query_images.ts";
import { formatTable } from "../terminal/table.ts";
import { visible, visibleName } from "../terminal/visible.ts";
import { REVECTORIZE } from "../terminal/v8_flags.ts";

const OPTIONS = {
  ...PLAN_OPTIONS,
  model: NETWORK_OPTION,
  activation: ACTIVATION_OPTION,
  ...LINK_OPTIONS,
  ...INFER_OPTIONS,
  prepare: PREPARE_OPTION,
  ...MANY_IMAGES_OPTIONS,
  mirror: MIRROR_OPTION,
  labels: {
    type: "path",
    value: "FILE",
    needs: ["images"],
    help: "what --images show: a line an image, in their order, with the number or the name of its class",
  },
  check: {
    type: "integer",
    min: 0,
    max: 100_000,
    help:
      "compare the first N images with the fixed-point engine too, up to 3 s each (default: one image yes, many no)",
  },
  logits: {
    type: "boolean",
    needs: ["json"],
    help: "with --json: the logits of every query too, and those of plaintext",
  },
} as const satisfies OptionSpecs;

/** What is given, with a shipped network where none is. */
type Options = Omit<OptionValues<typeof OPTIONS>, "model" | "activation"> & {
  readonly model: string;
  readonly graph: string | undefined;
  readonly activation: string;
};

await runCommand({
  name: "infer",
  summary: "classify an image, or many, by private inferences of three processes on this machine",
  notes:
    "Server, client and dealer run with narrow permissions over loopback TCP, shaped as --profile says. The logits are " +
    "compared with plaintext engines in floating and fixed point. Of many images each is asked about once, in one session. With --prepare N the correlations of N queries are dealt before " +
    "the first of them runs; when they are used up, those of the next N. With --batch B a query is of B images: one alone " +
    "fills it by itself, and the last of many is filled up with the first ones again, which do not count.",
  time: "seconds; ResNet-50 a minute; 10,000 images of ConvNet two minutes est., of MiniONN-BN ten",
  examples: [
    "infer --model resnet18 --activation espn --profile wan",
    "infer --activation honeybadger --linear beaver --repetitions 20 --json",
    "infer --weights results/models/convnet-pillar-range --dataset cifar10 --limit 1000",
    "infer --weights DIR --images FOLDER --labels labels.txt",
    "infer --weights results/models/roundnet-trig-s1 --dataset cifar10 --batch 8 --mirror --profile wan",
  ],
  interrupted: "the three processes were ended",
  options: OPTIONS,
  async run(given) {
    const question = await questionOf({ ...await withDefaults(given), batch: batchFrom(given) });
    const expected = await plaintextOf(question);
    const { figures, broken } = await ask(question);
    const result = resultOf(question, expected, figures);
    if (question.options.json) console.log(JSON.stringify(result));
    else print(result, question.names ?? []);
    if (broken !== null) throw broken;
  },
});

/** What is asked: the network under its plan, the images, and how often. */
async function questionOf(options: Options) {
  const profile = profileFrom(options.profile);
  const { model, plan } = await networkAndPlan(options);
  sayPrecision(plan);
  const isMany = asksMany(options);
  const { images, ...about } = await imagesFrom(options, {
    ...model,
    pixels: pixelsOf(model, model.graph, options.graph),
  });
  const views = images.flatMap((image) => viewsOf(image, plan.graph.inputShape, options.mirror));
  const viewsOfEach = views.length / images.length, imagesOfQuery = plan.batch / viewsOfEach;
  const warmUp = options.warmUp ?? (isMany ? 0 : 2),
    asked = options.repetitions ?? (isMany ? Math.ceil(images.length / imagesOfQuery) : 5);
  const counts = { images: images.length, viewsOfEach, imagesOfQuery, warmUp, queries: warmUp + asked };
  return { options, profile, model, plan, isMany, views, ...about, ...counts };
}

type Question = Awaited<ReturnType<typeof questionOf>>;

/** The line of progress of a question; none beside JSON. */
function progressOf({ options, plan }: Question, what: string, total: number, unit: string) {
  return options.json ? null : new Progress(`${plan.graph.name}, ${what}`, total, { unit });
}

/** The logits of every image in the clear, and, of the first ones, in fixed point. */
async function plaintextOf(question: Question) {
  const { options, model, plan, isMany, images, views, viewsOfEach } = question;
  const plain = plainNetwork(plan, foldBatchNorm(model.graph, model.weights).weights);
  const progress = isMany ? progressOf(question, "plaintext", views.length, "images") : null;
  const float = await floatLogits(plain, views, (done) => progress?.update(done));
  progress?.finish();
  const checked = Math.min(options.check ?? (isMany ? 0 : 1), images);
  // Of many images one may leave the range of fixed point; the others still count.
  const fixed = inGroups(views.slice(0, checked * viewsOfEach), viewsOfEach).map((group) =>
    orNull(isMany, () => meanOf(group.map((image) => fixedPointLogits(plan, plain.weights, image))))
  );
  return { float: inGroups(float, viewsOfEach).map(meanOf), fixed };
}

/** Runs the three roles. A session that breaks off leaves the figures of the queries before, where some of them count. */
async function ask(
  question: Question,
): Promise<{ figures: InferenceRunFigures; broken: BrokenSession | null }> {
  const { options, model, plan, isMany, images, imagesOfQuery, warmUp, queries } = question;
  const [total, each] = isMany ? [images, imagesOfQuery] : [queries, 1];
  // From the first answer on, so that the start of the processes is in no estimate.
  let progress = null as Progress | null, done = 0;
  const running = runInference({
    plan: [...planArguments(plan, options), "--threads", String(options.threads)],
    server: model.folder === null ? [] : ["--weights", model.folder],
    client: imageArguments(options),
    parties: ["--profile", options.profile, "--prepare", String(options.prepare)],
    timeout: options.timeout,
    reads: readsOf(question),
    flags: flagsOf(options),
    bindsCores: options.threads === 1,
    queries,
    onQuery() {
      progress ??= progressOf(question, options.activation, total, isMany ? "images" : "queries");
      progress?.update(Math.min(++done * each, total), "", [done - 1, queries - 1]);
    },
  });
  try {
    return { figures: await running, broken: null };
  } catch (error) {
    if (!(error instanceof BrokenSession) || error.figures.queries.length <= warmUp) throw error;
    return { figures: error.figures, broken: error };
  } finally {
    progress?.finish();
  }
}

/** Of V8, for the roles. */
function flagsOf({ noRevectorize }: Question["options"]): readonly string[] {
  return noRevectorize ? [] : REVECTORIZE;
}

/** Files and folders that each role may read. */
function readsOf({ options, model }: Question): InferenceRun["reads"] {
  const pictures = options.image ?? options.images ?? options.data ?? (options.dataset ? DATA_FOLDER : []);
  return {
    server: model.folder === null ? [] : [model.folder],
    client: [pictures, beside(options.graph)].flat(),
    all: options.graph === undefined ? [] : [options.graph],
  };
}

/** The figures of the queries that count, and what their answers are worth. */
function resultOf(
  { options, profile, model, plan, isMany, images, viewsOfEach, imagesOfQuery, warmUp, ...about }: Question,
  { float, fixed }: Awaited<ReturnType<typeof plaintextOf>>,
  figures: InferenceRunFigures,
) {
  const { ringBits, fractionBits } = plan.wires.get(plan.input)!;
  const all = figures.queries.flatMap(({ logits }) => answersIn(plan, logits, viewsOfEach))
    .slice(0, isMany ? images : Infinity)
    .map((opened, i): Answer => ({ ...opened, float: float[i % images], fixed: fixed[i % images] }));
  const answers = all.slice(warmUp * imagesOfQuery), measured = figures.queries.slice(warmUp);
  return {
    model: plan.graph.name,
    classes: plan.graph.classes,
    activation: options.activation,
    linear: options.linear,
    profile: profile.name,
    ringBits,
    fractionBits,
    repetitions: measured.length,
    batch: plan.batch,
    mirror: options.mirror,
    imagesPerSecond: answers.length / secondsOf(measured),
    threads: options.threads,
    prepare: options.prepare,
    weights: options.weights ?? null,
    note: about.note,
    label: isMany ? null : about.labels?.[0] ?? null,
    classNames: model.classNames ?? null,
    ...summarise(figures, warmUp),
    checked: fixed.length,
    ...compareLogits(all),
    ...verdict(all, isMany),
    classification: isMany ? classify(answers, about.labels) : null,
    paperExchanges: costOf(plan).paperExchanges,
    flags: flagsOf(options),
    ...options.logits ? { answers: logitsOf(answers) } : {},
  } satisfies InferResult;
}

/** The file that tells a client how pictures are normalised. */
function beside(graph: string | undefined): string[] {
  return graph === undefined ? [] : [join(dirname(graph), MODEL_FILE)];
}

function planArguments(
  { graph, options }: Plan,
  given: { readonly elements: number | undefined; readonly graph: string | undefined },
): string[] {
  const named = given.graph === undefined
    ? ["--model", graph.name, "--classes", String(graph.classes)]
    : ["--graph", given.graph];
  return [
    given.elements === undefined ? named : ["--elements", String(given.elements)],
    ["--activation", options.activation],
    ["--linear", options.linear],
    options.fractionBits === undefined ? [] : ["--fraction-bits", String(options.fractionBits)],
    options.ringBits === undefined ? [] : ["--ring-bits", String(options.ringBits)],
    options.angleBits === undefined ? [] : ["--angle-bits", String(options.angleBits)],
    options.batch === undefined ? [] : ["--batch", String(options.batch)],
    options.ranges === undefined ? [] : ["--ranges", formatRangesOption(graph, options.ranges)],
    options.force ? ["--force"] : [],
    activationProtocol(options.activation).computes ? [] : functionArguments(formatFunctions(graph, options)),
  ].flat();
}

/** Which images the client is to take. */
function imageArguments(
  { image, images, drawn, dataset, data, limit, seed, mirror }: ImageChoice,
): string[] {
  const chosen = Object.entries({ image, images, drawn, dataset, data, limit, seed }).flatMap((
    [name, value],
  ) => value === undefined ? [] : [`--${name}`, String(value)]);
  return mirror ? [...chosen, "--mirror"] : chosen;
}

/** One image, and its mirror image, in double precision; many in batches, in single precision. */
async function floatLogits(
  { graph, weights, activation }: PlainNetwork,
  images: readonly Float32Array[],
  onImages: (done: number) => void,
): Promise<readonly ArrayLike<number>[]> {
  if (images.length <= 2) return images.map((image) => evaluateLogits(graph, weights, activation, image));
  // Loaded here only: it brings TensorFlow.js with it.
  const { plaintextLogits } = await import("../options/plaintext_logits.ts");
  return await plaintextLogits(graph, weights, activation, images, onImages);
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

function orNull<T>(forgive: boolean, compute: () => T): T | null {
  try {
    return compute();
  } catch (error) {
    if (forgive && error instanceof RangeError) return null;
    throw error;
  }
}

/** The class that the client reports of one image: none where the logits of a query are beyond their public bound. */
function verdict(answers: readonly Answer[], isMany: boolean) {
  const unreliable = answers.some(({ unreliable }) => unreliable);
  return { unreliable, class: unreliable || isMany ? null : classOf(answers.at(-1)!.logits) };
}

/** Of the offline and online phases. */
function secondsOf(queries: readonly QueryFigures[]): number {
  return queries.reduce((sum, { offlineMs, onlineMs }) => sum + offlineMs + onlineMs, 0) / 1000;
}

/** The opened logits of the measured queries beside those of the plaintext engines, as JSON can hold them. */
function logitsOf(answers: readonly Answer[]) {
  return answers.map(({ logits, float, fixed }) => ({
    logits: Array.from(logits),
    float: Array.from(float),
    fixed: fixed ? Array.from(fixed) : null,
  }));
}

function print(result: InferResult, names: readonly string[]): void {
  const ms = (value: number) => `${value.toFixed(1)} ms`,
    mb = (bytes: number) => `${(bytes / 1e6).toFixed(2)} MB`;
  const { setup, offline, online, heldBytes, bytesSent, computeMs, peakRssMB } = result;
  console.log(
    `${result.model} (${result.classes} classes), ${result.activation} + ${result.linear}, network ${result.profile}${
      batchText(result)
    }\n`,
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
    } and ${ms(computeMs.client)}` + memoryText(peakRssMB),
  );
  if (result.prepare > 1) {
    console.log(
      `${result.prepare} queries prepared at a time, each held in ${mb(heldBytes.server)} at the server and ${
        mb(heldBytes.client)
      } at the client`,
    );
  }
  if (result.note !== null) console.log(visible(result.note));
  if (result.grossErrors > 0) {
    console.log(`${result.grossErrors} queries with a gross error, left out below unless all had one`);
  }
  if (result.classification !== null) {
    printClasses(result.classification, result.imagesPerSecond, result.classNames, names);
  } else if (result.batch > 1) {
    console.log(`${result.imagesPerSecond.toPrecision(3)} images a second, offline phase included`);
  }
  console.log(
    `${result.classification === null ? `${classText(result)}; ` : ""}logits differ by at most ${
      result.maxAbsError.toExponential(1)
    } from floating point, ${fixedText(result)} (largest logit ${result.largestLogit.toFixed(3)})`,
  );
}

/** What a query is of; nothing where that is one image. */
function batchText({ batch, mirror }: InferResult): string {
  if (batch === 1) return "";
  const images = mirror ? batch / 2 : batch;
  return `, ${images} ${images === 1 ? "image" : "images"}${
    mirror ? " and as many mirror images" : ""
  } a query`;
}

/** Nothing where the roles were ended before they could say. */
function memoryText({ server, client, dealer }: InferResult["peakRssMB"]): string {
  return Number.isNaN(server) ? "" : `; memory server ${server}, client ${client}, dealer ${dealer} MB`;
}

function fixedText({ checked, oracleMaxAbsError: error }: InferResult): string {
  if (checked === 0) return "not compared with fixed point";
  return error === null
    ? "not compared with fixed point, whose range every query left"
    : `${error.toExponential(1)} from fixed point`;
}

/** Of many images the accuracy, or, where it is not known what they show, the class of each. */
function printClasses(
  { images, classes, plaintextClasses, agree, accuracy }: Classification,
  imagesPerSecond: number,
  classNames: readonly string[] | null,
  names: readonly string[],
): void {
  const named = (label: number | null) =>
    label === null ? "none, unreliable" : classNameOf(label, classNames);
  if (accuracy === null) {
    console.log(
      "\n" + formatTable(classes.map((label, i) => ({
        image: visibleName(names[i]),
        class: named(label),
        "": label === plaintextClasses[i] ? "" : `plaintext: ${named(plaintextClasses[i])}`,
      }))),
    );
  }
  console.log(`\n${images} images, ${imagesPerSecond.toPrecision(3)} a second, offline phase included`);
  if (accuracy !== null) {
    const { private: found, plaintext } = accuracy, percent = (value: number) => value.toFixed(2);
    console.log(
      `accuracy ${percent(found.percent)} %, 95 % interval ${percent(found.low)} to ${
        percent(found.high)
      } %; ` +
        `plaintext ${percent(plaintext.percent)} %`,
    );
  }
  console.log(`class as in plaintext for ${agree} of ${images}`);
}

function classNameOf(label: number, classNames: readonly string[] | null): string {
  return classNames === null ? `${label}` : `${label} (${visibleName(classNames[label])})`;
}

/** The class, what the picture shows, and whether plaintext says the same. */
function classText(
  { unreliable, class: found, label, classNames, argmaxAgrees, withinError }: InferResult,
): string {
  if (unreliable) return "unreliable: logits beyond their public bound, no class";
  const named = (label: number) => classNameOf(label, classNames);
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
