/**
 * What becomes of an inference whose activation inputs leave the interval for which a network was trained. The weights of one
 * channel before the last activation of ConvNet are multiplied until the largest input has a chosen size; every protocol runs on that.
 */
import {
  audit,
  buildModel,
  classOf,
  DEFAULT_ACTIVATION,
  DEFAULT_LINEAR,
  evaluate,
  floatForward,
  foldBatchNorm,
  foldGraph,
  isUnreliable,
  openInProcess,
  planInference,
  QUARTIC,
  randomWeights,
  type Ranges,
  Ring,
  seededImage,
  type Weights,
} from "../mod.ts";
import {
  type Cell,
  defineExperiment,
  type NewRow,
  numberOf,
  optionalNumber,
  type Row,
  type Size,
} from "../src/reproduction/experiment.ts";

const SIZES = [4, 6, 10, 12, 30, 100, 1446];
const PROTOCOLS = ["honeybadger", "espn", "tree", "lifted"];
const IMAGES: Record<Size, number> = { smoke: 2, quick: 10, full: 100 };
const CALIBRATION_IMAGES = 20;
/** The layer and the channel whose weights are multiplied. */
const LAYER = "dense1", CHANNEL = 0;
/** A logit is spoiled if it is off by more than this, or more than this part of the largest logit where that is more. */
const ABSOLUTE = 0.1, RELATIVE = 0.02;

interface EscapeCell extends Cell {
  readonly protocol: string;
  /** Largest input that is aimed at. */
  readonly target: number;
  /** Whether the calibration images of the audit show such inputs, too. */
  readonly audited: boolean;
}

const original = buildModel("convnet"), graph = foldGraph(original);
let honest: Weights | undefined;
/** Weights without an escape, made when the first cell runs. */
const honestWeights = () => honest ??= foldBatchNorm(original, randomWeights(original, 1, QUARTIC)).weights;

/** The weights with those of the channel multiplied, so that the largest |input| on these images is `size`. */
function escaping(images: readonly Float32Array[], size: number): Weights {
  const weights = honestWeights();
  const inputs = images.map((image) =>
    Math.abs(evaluate(graph, weights, QUARTIC, image).get(LAYER)![CHANNEL])
  );
  const changed = new Map(weights), channels = weights.get(`${LAYER}.bias`)!.data.length;
  for (const part of ["weight", "bias"]) {
    const { shape, data } = weights.get(`${LAYER}.${part}`)!, factor = size / Math.max(...inputs);
    changed.set(`${LAYER}.${part}`, {
      shape,
      data: data.map((v, i) => i % channels === CHANNEL ? v * factor : v),
    });
  }
  return changed;
}

function auditOf(weights: Weights) {
  const images = Array.from({ length: CALIBRATION_IMAGES }, (_, i) => seededImage(original, 10_000 + i));
  return audit(
    graph,
    { activation: DEFAULT_ACTIVATION.name, linear: DEFAULT_LINEAR.name, function: QUARTIC },
    floatForward(graph, weights, QUARTIC),
    images,
  );
}

const largest = (values: Float64Array) => values.reduce((max, v) => Math.max(max, Math.abs(v)), 0);

/** A session that is ready, or null where the planner or the server refuses the network. */
async function openOrRefuse(protocol: string, ranges: Ranges, weights: Weights, queries: number) {
  try {
    const plan = planInference(graph, {
      activation: protocol,
      linear: "masked",
      function: QUARTIC,
      ranges,
    });
    return { plan, inference: await openInProcess(await ringOnce(), plan, weights, queries) };
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

async function runCell({ protocol, target, audited }: EscapeCell, size: Size, seed: number): Promise<NewRow> {
  const images = Array.from({ length: IMAGES[size] }, (_, i) => seededImage(original, 1000 * seed + i));
  const changed = escaping(images, target), { ranges } = auditOf(audited ? changed : honestWeights());
  const expected = images.map((image) => evaluate(graph, changed, QUARTIC, image));
  const session = await openOrRefuse(protocol, ranges, changed, images.length);
  const row = {
    protocol,
    target,
    audited,
    images: images.length,
    largest_input: Math.max(...expected.map((values) => largest(values.get(LAYER)!))),
    refused: session === null,
  };
  if (session === null) return row;

  const { plan, inference } = session;
  let spoiled = 0, agree = 0, unreliable = 0, unnoticed = 0, worst = 0;
  for (const [i, image] of images.entries()) {
    const float = expected[i].get(graph.nodes.at(-1)!.id)!, logits = await inference.infer(image);
    const errors = logits.map((v, j) => Math.abs(v - float[j])), unit = largest(float);
    spoiled += errors.filter((error) => error > Math.max(ABSOLUTE, RELATIVE * unit)).length;
    worst = Math.max(worst, largest(errors) / Math.max(1, unit));
    const agrees = classOf(logits) === classOf(float), isFlagged = isUnreliable(plan, logits);
    agree += Number(agrees);
    unreliable += Number(isFlagged);
    unnoticed += Number(!agrees && !isFlagged);
  }
  await inference.end();
  const n = images.length;
  return {
    ...row,
    spoiled_logits: spoiled / (n * graph.classes),
    largest_error: worst,
    class_agrees: agree / n,
    unreliable: unreliable / n,
    wrong_unnoticed: unnoticed / n,
  };
}

/** Protocols side by side: lifted both ways, the others as they are, since their words do not depend on an audit. */
const nameOf = (row: Row) =>
  row["protocol"] === "lifted" && row["audited"] === "false" ? "lifted, not in the audit" : row["protocol"];

export const escapingInference = defineExperiment<EscapeCell>({
  key: "escaping_inference",
  title: "Inputs that escape",
  source: "no clip at inference: a quartic of a large input is huge",
  explanation:
    "The weights of one channel of ConvNet, drawn from a seed, are multiplied until the largest input of its last activation has the size given. Every " +
    "protocol then classifies the same random images; the float engine of the same polynomial says what is right. Scales and bounds follow from " +
    "an audit that has seen such inputs, or from one that has not. A network that leaves too little head-room is refused and not run.",
  columns: {
    protocol: "activation protocol",
    target: "largest |input| of the last activation that was aimed at",
    audited: "whether the images of the audit show such inputs",
    images: "images classified",
    largest_input: "largest |input| of the last activation over all images, float engine",
    refused: "whether planner or server refuse the network, so that nothing runs and what follows is empty",
    spoiled_logits: "share of logits off by more than 0.1 and by more than 2 % of the largest logit",
    largest_error:
      "largest error of a logit, relative to the largest logit of its image (taken as at least 1)",
    class_agrees: "share of images with the class of the float engine",
    unreliable: "share of images that the client reports as unreliable",
    wrong_unnoticed: "share of images with another class that the client does not report",
  },
  cells: (size) =>
    (size === "smoke" ? [4, 10, 1446] : SIZES).flatMap((target) =>
      PROTOCOLS.flatMap((protocol) =>
        [true, false].map((audited) => ({
          id: `${protocol} ${target}${audited ? " audited" : ""}`,
          protocol,
          target,
          audited,
        }))
      )
    ),
  run: async (cell, { size, seed }) => [await runCell(cell, size, seed)],
  figures(rows) {
    const shown = rows.filter((row) => row["protocol"] === "lifted" || row["audited"] === "true");
    return [{
      kind: "lines",
      name: "escaping_inference",
      see: seenOf(rows.filter((row) => row["refused"] === "false")),
      caption:
        "Share of spoiled logits over the largest activation input, by protocol. A refused network has no mark.",
      x: { title: "largest input of an activation", scale: "log" },
      y: { title: "share of spoiled logits" },
      series: [...new Set(shown.map(nameOf))].map((name) => ({
        name,
        points: shown.filter((row) => nameOf(row) === name && row["refused"] === "false").map((row) => ({
          x: numberOf(row, "target"),
          y: numberOf(row, "spoiled_logits"),
        })),
      })),
    }];
  },
  table: (rows) =>
    rows.map((row) => ({
      protocol: row["protocol"],
      "|input|": numberOf(row, "largest_input"),
      "seen by the audit": row["audited"],
      refused: row["refused"],
      "spoiled logits": optionalNumber(row, "spoiled_logits") ?? "-",
      "class agrees": optionalNumber(row, "class_agrees") ?? "-",
      unreliable: optionalNumber(row, "unreliable") ?? "-",
      "wrong, not noticed": optionalNumber(row, "wrong_unnoticed") ?? "-",
    })),
});

/** The largest shares of spoiled logits: by lifted, and by the others for inputs as large as lifted was run with. */
function seenOf(ran: readonly Row[]): string {
  const lifted = ran.filter((row) => row["protocol"] === "lifted");
  const [seen, unseen] = ["true", "false"].map((audited) =>
    lifted.filter((row) => row["audited"] === audited)
  );
  const sizes = new Set(seen.map((row) => row["target"]));
  const others = ran.filter((row) =>
    row["protocol"] !== "lifted" && row["audited"] === "true" && sizes.has(row["target"])
  );
  const most = (rows: readonly Row[]) => {
    if (rows.length === 0) return "(not run)";
    const share = Math.max(0, ...rows.map((row) => 100 * numberOf(row, "spoiled_logits")));
    return share === 0 ? "no logit" : `up to ${Number(share.toPrecision(2))}\u00a0% of the logits`;
  };
  return `where the audit saw the inputs, and did not refuse them, lifted spoils ${
    most(seen)
  } and the others ${most(others)}; ` +
    `where it did not see them, lifted spoils ${most(unseen)}.`;
}

let ring: Promise<Ring> | undefined;
const ringOnce = () => ring ??= Ring.open();
