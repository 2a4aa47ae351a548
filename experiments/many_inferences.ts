/**
 * Gross errors in thousands of whole inferences: opened logits against the fixed-point engine with the same scales. The 64-bit
 * protocols lose one now and then to local truncation, as often as the sizes of the truncated integers predict; those on small rings none.
 */
import {
  type Activation,
  activationProtocol,
  type ActivationSpec,
  buildModel,
  fixedPointValues,
  type FixedValue,
  foldBatchNorm,
  openInProcess,
  type Plan,
  planInference,
  powerGroups,
  randomWeights,
  realOf,
  Ring,
  seededImage,
} from "../mod.ts";
import {
  type Cell,
  defineExperiment,
  numberOf,
  type Row,
  type Size,
} from "../src/reproduction/experiment.ts";

const MODEL = "minionn-bn", PROTOCOLS = ["lifted", "trigonometric", "honeybadger"] as const;
/** Cells of each protocol, and images of a cell: no image occurs twice. */
const CELLS: Record<Size, readonly [cells: number, images: number]> = {
  smoke: [1, 20],
  quick: [2, 100],
  full: [20, 500],
};
/**
 * A logit that is off by more is a gross error. Rounding moves it by some 0.007 at most; a wrap moves one activation, whose size is
 * about 1, by 2^17 in lifted, by 32 or more in trigonometric and by 2^22 or more in honeybadger.
 */
const BOUND = 0.05;

interface ManyCell extends Cell {
  readonly protocol: typeof PROTOCOLS[number];
  readonly first: number;
  readonly images: number;
}

export const manyInferences = defineExperiment<ManyCell>({
  key: "many_inferences",
  title: "Gross errors in many inferences",
  explanation:
    `Whole private inferences of ${MODEL} (random weights, a new random image each, all roles in one process, real correlations), and ` +
    "how many open a logit that is off by more than the bound from the fixed-point engine with the same scales. Predicted: the sum of " +
    "|v| / 2^64 over every integer v that the two parties truncate on their own; lifted and trigonometric have no such step.",
  columns: {
    protocol: "activation protocol",
    model: "network",
    ring_bits: "bits of the ring of the linear layers",
    fraction_bits: "fraction bits of activations",
    inferences: "images, one inference each",
    gross_errors: "inferences with a logit off by more than the bound",
    predicted: "expected number of them",
    bound: "the bound",
    largest_error: "largest difference of a logit in the other inferences",
  },
  cells: (size) => {
    const [cells, images] = CELLS[size];
    return PROTOCOLS.flatMap((protocol) =>
      Array.from({ length: cells }, (_, i) => ({
        id: `${protocol} ${i + 1} of ${cells}`,
        protocol,
        first: i * images,
        images,
        seconds: 2 + images / 12,
      }))
    );
  },
  async run({ protocol, first, images }, { seed, note }) {
    const function_ = activationProtocol(protocol).usual,
      { ring, original, graph, weights } = await network(function_);
    const plan = planInference(graph, { activation: protocol, linear: "masked", function: function_ });
    const inference = await openInProcess(ring, plan, weights, images), image = plan.wires.get(plan.input)!;
    let grossErrors = 0, predicted = 0, largest = 0;
    for (let i = 0; i < images; i++) {
      if (i % 50 === 0) note(`image ${i} of ${images}`);
      const pixels = seededImage(original, seed * 2 ** 20 + first + i);
      const logits = await inference.infer(pixels), values = fixedPointValues(plan, weights, pixels);
      const expected = realOf(values.get(plan.output)!);
      const error = Math.max(...logits.map((v, k) => Math.abs(v - expected[k])));
      if (error > BOUND) grossErrors++;
      else largest = Math.max(largest, error);
      predicted += predictedFailures(plan, values);
    }
    await inference.end();
    return [{
      protocol,
      model: MODEL,
      ring_bits: image.ringBits,
      fraction_bits: image.fractionBits,
      inferences: images,
      gross_errors: grossErrors,
      predicted,
      bound: BOUND,
      largest_error: largest,
    }];
  },
  figures(rows) {
    const sums = PROTOCOLS.map((protocol) => totals(rows, protocol));
    // A picture of zeros says nothing: thousands of inferences make one.
    if (sums.every(({ predicted, grossErrors }) => predicted < 0.5 && grossErrors === 0)) return [];
    return [{
      kind: "bars",
      name: "many_inferences",
      see: `gross errors counted, and expected from the sizes of the integers: ${
        sums.flatMap(({ inferences, grossErrors, predicted }, i) =>
          inferences === 0 ? [] : [`${PROTOCOLS[i]} ${grossErrors} and ${Number(predicted.toPrecision(2))}`]
        ).join(", ")
      }.`,
      caption: `Gross errors in ${
        sums.map((sum, i) => `${sum.inferences.toLocaleString("en")} inferences by ${PROTOCOLS[i]}`).join(
          ", ",
        )
      }: counted, and expected from the sizes of the truncated integers.`,
      categories: PROTOCOLS,
      y: { title: "inferences with a gross error", min: 0 },
      labels: true,
      series: [
        { name: "counted", values: sums.map(({ grossErrors }) => grossErrors) },
        { name: "predicted", values: sums.map(({ predicted }) => Math.round(100 * predicted) / 100) },
      ],
    }];
  },
  table: (rows) =>
    PROTOCOLS.map((protocol) => {
      const { inferences, grossErrors, predicted, largest } = totals(rows, protocol);
      return {
        protocol,
        inferences,
        "gross errors": grossErrors,
        predicted,
        "largest other error": largest,
      };
    }),
});

function totals(rows: readonly Row[], protocol: string) {
  const own = rows.filter((row) => row["protocol"] === protocol);
  const sum = (column: string) => own.reduce((total, row) => total + numberOf(row, column), 0);
  return {
    inferences: sum("inferences"),
    grossErrors: sum("gross_errors"),
    predicted: sum("predicted"),
    largest: Math.max(0, ...own.map((row) => numberOf(row, "largest_error"))),
  };
}

/**
 * Expected number of gross failures of local truncation in one inference: |v| / 2^64 for every integer v that is truncated (see
 * truncation_failures). Those are pre-activations, and in an activation what `honeybadger` shifts; logits are opened by truncate and
 * reduce, which cannot fail, and so is all of `lifted` and `trigonometric`.
 */
export function predictedFailures(plan: Plan, values: ReadonlyMap<string, FixedValue>): number {
  let sum = 0;
  for (const { kind, reads, writes } of plan.steps) {
    const wire = plan.wires.get(reads[0])!, { function: polynomial } = plan.options;
    if (kind !== "activation" || wire.width !== 64 || polynomial.kind !== "polynomial") continue;
    const x = realOf(values.get(reads[0])!), { keptBits: fractionBits } = plan.activations.get(writes[0])!;
    sum += sizeOfAll(x) * 2 ** wire.fractionBits +
      truncatedByGroups({ length: x.length, polynomial, fractionBits }, x);
  }
  return sum / 2 ** 64;
}

const sizeOfAll = (values: Float64Array) => values.reduce((sum, v) => sum + Math.abs(v), 0);

/** The sum of |v| over what the linear part and the power groups of an activation truncate. */
function truncatedByGroups({ polynomial, fractionBits }: ActivationSpec, x: Float64Array): number {
  const slope = Math.abs(polynomial.coefficients[1] ?? 0) * 2 ** fractionBits;
  const groups = powerGroups(polynomial, fractionBits).map(({ shift, coefficients }) => ({
    table: coefficients.map(Number),
    kept: 2 ** (fractionBits - shift),
    shifted: shift > 0 ? 2 ** fractionBits : 0,
  }));
  return x.reduce((sum, v) => {
    sum += slope * Math.abs(v);
    for (const { table, kept, shifted } of groups) {
      const power = table.reduceRight((p, c) => p * v * kept + c, 0);
      sum += shifted * Math.abs(v) + Math.abs(power);
    }
    return sum;
  }, 0);
}

const opened = new Map<Activation, ReturnType<typeof open>>();

/** The network with random weights that suit an activation, made once. */
function network(activation: Activation) {
  const made = opened.get(activation) ?? open(activation);
  opened.set(activation, made);
  return made;
}

async function open(activation: Activation) {
  const original = buildModel(MODEL);
  return {
    ring: await Ring.open(),
    original,
    ...foldBatchNorm(original, randomWeights(original, 1, activation)),
  };
}
