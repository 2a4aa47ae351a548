/**
 * How often local truncation fails grossly: for uniformly random shares of the integer v exactly with probability |v| / 2^64.
 * Measured on real shares, for the integers that the protocols truncate, and turned into failures per inference.
 */
import {
  activationLayer,
  add,
  droppedBits,
  freshSeed,
  liftedSpecOf,
  openInProcess,
  type Plan,
  planInference,
  powerGroups,
  QUARTIC,
  rescale,
  Ring,
  Seed,
  shiftBits,
  subtract,
  words,
} from "../mod.ts";
import {
  type Cell,
  defineExperiment,
  numberOf,
  type Row,
  type Size,
} from "../src/reproduction/experiment.ts";

/** Shares tried per cell. */
const TRIALS: Record<Size, number> = { smoke: 2 ** 20, quick: 2 ** 24, full: 2 ** 28 };
const BATCH = 2 ** 20;
/** Activations of ResNet-18 at 32 x 32. */
const RESNET18 = 557_056;

/**
 * The scalings of x^4 in the paper's code: until 2023 the power was taken at full precision, since January 2024 each share is first
 * shifted by ceil(2 p / 4) bits; and the group {3, 4} of this artifact, whose integer carries the coefficient as well.
 */
const SCALINGS = ["old", "new", "ours"] as const;

/** Rings and sizes at which `lifted` is tried; below 16, where a pre-activation leaves the ring. */
const LIFTED = [[30, 1], [30, 2], [30, 5], [30, 16], [20, 16]] as const;

interface TruncationCell extends Cell {
  readonly scaling: typeof SCALINGS[number] | "lifted";
  /** k of `lifted`. */
  readonly ringBits?: number;
  readonly fractionBits: number;
  readonly size: number;
  /** log2 of the integer before truncation, and the bits that are cut off. */
  readonly log2Value: number;
  readonly bits: number;
}

function cellOf(scaling: typeof SCALINGS[number], fractionBits: number, size: number): TruncationCell {
  const kept = scaling === "old" ? fractionBits : fractionBits - Math.ceil(fractionBits / 2);
  const id = `${scaling} p=${fractionBits} |x|=${size}`;
  if (scaling !== "ours") {
    const log2Value = 4 * (Math.log2(size) + kept);
    return { id, scaling, fractionBits, size, log2Value, bits: Math.max(1, 4 * kept - fractionBits) };
  }
  const group = powerGroups(QUARTIC, fractionBits).at(-1)!;
  const integer = Number(group.coefficients[4]), scale = 2 ** (fractionBits - group.shift);
  const log2Value = Math.log2(Math.abs(integer)) + 4 * Math.log2(size * scale);
  return { id, scaling, fractionBits, size, log2Value, bits: group.fractionBits - fractionBits };
}

/** Truncates random shares of an integer and counts results that are off by more than one unit. */
function countFailures(ring: Ring, log2Value: number, bits: number, trials: number): number {
  // Exact to the 53 bits of a double.
  const exponent = Math.max(0, Math.floor(log2Value) - 52);
  const value = BigInt(Math.round(2 ** (log2Value - exponent))) << BigInt(exponent);
  const expected = value >> BigInt(bits);
  const stream = new Seed(freshSeed()).stream(0);
  using client = words(ring, BATCH),
    server = words(ring, BATCH),
    low = words(ring, BATCH, -bits),
    high = words(ring, BATCH, -bits);
  let failures = 0;
  for (let done = 0; done < trials; done += BATCH) {
    stream.fill(client);
    server.int64.fill(BigInt.asIntN(64, value));
    subtract(server, client);
    // A scale of -bits relative to the integer: the local truncation by `bits`.
    add(rescale(client, low), rescale(server, high));
    for (const result of low.int64) if (result - expected > 1n || expected - result > 1n) failures++;
  }
  return failures;
}

function liftedPlan(ringBits: number, elements: number) {
  const options = { activation: "lifted", linear: "masked", function: QUARTIC, ringBits };
  return planInference(activationLayer(elements), options);
}

const specOf = (plan: Plan) => liftedSpecOf([...plan.activations.values()][0]);

function liftedCell(ringBits: number, size: number): TruncationCell {
  const spec = specOf(liftedPlan(ringBits, 1));
  const value = Math.max(...[size, -size].map((x) => Math.abs(polynomialAt(x))));
  return {
    id: `lifted k=${ringBits} |x|=${size}`,
    scaling: "lifted",
    ringBits,
    fractionBits: spec.keptBits,
    size,
    log2Value: Math.log2(value) + shiftBits(spec) + spec.outputBits,
    bits: shiftBits(spec),
  };
}

const polynomialAt = (x: number) =>
  QUARTIC.coefficients.reduceRight((sum, c) => sum * x + c, 0) / 2 ** QUARTIC.precision;

/**
 * Runs whole activation layers of `lifted` on the two values of this size, one step of the ring smaller, and counts results that are
 * off by more than one unit of the output from the polynomial at both neighbours of x among the numbers of the kept bits.
 */
export async function countLiftedFailures(
  ring: Ring,
  ringBits: number,
  size: number,
  trials: number,
  batch = 2 ** 18,
): Promise<number> {
  const plan = liftedPlan(ringBits, batch), spec = specOf(plan);
  const unit = 2 ** plan.wires.get(plan.opened)!.fractionBits,
    shift = BigInt(shiftBits(spec)),
    degree = BigInt(QUARTIC.coefficients.length - 1);
  const signs = [1, -1].map((sign) => {
    const integer = sign * (size * 2 ** spec.inputBits - 1),
      low = BigInt(integer) >> BigInt(droppedBits(spec));
    const results = [low, low + 1n].map((x) =>
      QUARTIC.coefficients.reduce(
        (sum, c, j) => sum + (BigInt(c) * x ** BigInt(j) << (degree - BigInt(j)) * BigInt(spec.keptBits)),
        0n,
      ) >> shift
    ).map(Number);
    return { x: integer / 2 ** spec.inputBits, low: Math.min(...results), high: Math.max(...results) + 1 };
  });
  const image = Float64Array.from({ length: batch }, (_, i) => signs[i & 1].x);
  const inference = await openInProcess(ring, plan, new Map(), Math.ceil(trials / batch));
  let failures = 0;
  for (let done = 0; done < trials; done += batch) {
    const results = await inference.infer(image);
    for (let i = 0; i < batch; i++) {
      const { low, high } = signs[i & 1], y = results[i] * unit;
      if (y < low || y > high) failures++;
    }
  }
  await inference.end();
  return failures;
}

export const truncationFailures = defineExperiment<TruncationCell>({
  key: "truncation_failures",
  title: "Gross failures of local truncation",
  source: "the paper's scale trick, old and new form",
  explanation:
    "Two parties truncate by shifting their own shares. For uniformly random shares of the integer v the result is off by a " +
    "multiple of 2^(64 - bits) with probability exactly |v| / 2^64. The integer here is the fourth power that the quartic " +
    "needs, at three scalings; where |v| reaches 2^63 the power has overflown and there is no result at all. The rows lifted run that " +
    "protocol's whole activation on real shares: its truncation cannot fail, however large the integer, up to the limit of its ring.",
  columns: {
    scaling:
      "old: power at full precision; new: shares shifted first; ours: with the coefficient of the quartic; lifted: truncate and reduce",
    ring_bits: "bits of the ring that the result is in",
    fraction_bits: "fraction bits p of x",
    x: "size of the activation input; of lifted one step of its ring less, with both signs",
    log2_value: "log2 of the integer before truncation",
    shift_bits: "bits cut off",
    trials: "random sharings",
    failures: "results off by more than one unit",
    measured: "failures / trials",
    predicted: "|v| / 2^64; empty where the power overflows; 0 by construction for lifted",
    per_resnet18: "predicted failures in one ResNet-18 inference if all 557,056 activations had this size",
  },
  cells: (size) => [
    ...SCALINGS.flatMap((scaling) =>
      [10, 12, 16].flatMap((fractionBits) =>
        [1, 2, 5, 20].map((x) => ({ ...cellOf(scaling, fractionBits, x), seconds: TRIALS[size] / 2 ** 24 }))
      )
    ),
    ...LIFTED.map(([ringBits, x]) => ({ ...liftedCell(ringBits, x), seconds: 6 * TRIALS[size] / 2 ** 24 })),
  ],
  async run(cell, { size }) {
    const { scaling, ringBits, fractionBits, log2Value, bits } = cell, overflows = log2Value >= 63;
    const trials = overflows ? 0 : TRIALS[size],
      predicted = ringBits === undefined ? 2 ** (log2Value - 64) : 0;
    const failures = overflows
      ? null
      : ringBits === undefined
      ? countFailures(await ringOnce(), log2Value, bits, trials)
      : await countLiftedFailures(await ringOnce(), ringBits, cell.size, trials);
    return [{
      scaling,
      ring_bits: ringBits ?? 64,
      fraction_bits: fractionBits,
      x: cell.size,
      log2_value: log2Value,
      shift_bits: bits,
      trials,
      failures,
      measured: failures === null ? null : failures / trials,
      predicted: overflows ? null : predicted,
      per_resnet18: overflows ? null : predicted * RESNET18,
    }];
  },
  figures: (rows) => [{
    kind: "lines",
    name: "truncation_failures",
    see: seenOf(rows),
    caption:
      `Gross failures of local truncation against the size of the integer: measured, with two standard deviations of the count, and the line ` +
      `|v| / 2^64. Sizes without a failure are left out. ${liftedCaption(rows)}`,
    x: { title: "log2 of the integer before truncation" },
    y: { title: "probability of a gross failure", scale: "log" },
    series: [
      {
        name: "|v| / 2^64",
        role: "curve",
        points: [36, 63].map((x) => ({ x, y: 2 ** (x - 64) })),
      },
      ...SCALINGS.map((scaling, i) => ({
        name: scaling === "ours" ? "measured, this artifact" : `measured, ${scaling} scaling`,
        style: i + 1,
        role: "points" as const,
        points: rows.filter((row) =>
          row["scaling"] === scaling && row["failures"] !== "" && numberOf(row, "failures") > 0
        ).map(pointOf),
      })),
    ],
  }],
  table: (rows) =>
    rows.map((row) => ({
      scaling: row["scaling"] === "lifted" ? `lifted, k = ${row["ring_bits"]}` : row["scaling"],
      p: row["fraction_bits"],
      "|x|": row["x"],
      measured: row["measured"] === "" ? "overflow" : row["measured"],
      predicted: row["predicted"] === "" ? "overflow" : row["predicted"],
      "failures per ResNet-18": row["per_resnet18"] === "" ? "-" : row["per_resnet18"],
    })),
});

/** Fewer failures than these are too few for a ratio: their deviation is more than a tenth of them. */
const ENOUGH_FAILURES = 100;

/** How far counts are from the line. */
function seenOf(rows: readonly Row[]): string {
  const ratios = rows.filter((row) =>
    row["failures"] !== "" && numberOf(row, "failures") >= ENOUGH_FAILURES && numberOf(row, "predicted") > 0
  ).map((row) => numberOf(row, "measured") / numberOf(row, "predicted"));
  return ratios.length === 0
    ? `no size has ${ENOUGH_FAILURES} failures or more.`
    : `counts of ${ENOUGH_FAILURES} failures and more are ${Math.min(...ratios).toFixed(2)} to ${
      Math.max(...ratios).toFixed(2)
    } times what the theorem predicts.`;
}

function liftedCaption(rows: readonly Row[]): string {
  const own = rows.filter((row) => row["scaling"] === "lifted"),
    sum = (column: string) => own.reduce((total, row) => total + numberOf(row, column), 0);
  return own.length === 0
    ? ""
    : `Lifted: ${sum("failures")} failures in ${sum("trials").toLocaleString("en")} activations.`;
}

/** With the interval of two standard deviations of a count. */
function pointOf(row: Row) {
  const failures = numberOf(row, "failures"),
    trials = numberOf(row, "trials"),
    spread = 2 * Math.sqrt(failures);
  return {
    x: numberOf(row, "log2_value"),
    y: failures / trials,
    low: Math.max(0.3, failures - spread) / trials,
    high: (failures + spread) / trials,
  };
}

let ring: Promise<Ring> | undefined;
const ringOnce = () => ring ??= Ring.open();
