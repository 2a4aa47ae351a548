/**
 * Claims about the trained networks that ship: what private inference leaves of their accuracy, how near they are to ReLU, how few bits
 * do, and what bright images do to them. A smoke run asks about too few images to judge any of them.
 */
import { type Claim, claim, where } from "./claim.ts";
import { numberOf, type Row } from "./csv.ts";
import { mean } from "./statistics.ts";

/** Points by which the best polynomial network may fall behind ReLU, by data set. */
const RELU_GAP: Readonly<Record<string, number>> = { cifar10: 2, shapes: 6 };
/** Seeds from which on a mean over trainings is claimed about, and their epochs. */
const SEEDS = 3, EPOCHS = "60";
/** Points by which waves are above ReLU on ConvNet, and by which they may be below on any network. */
const WAVES_ABOVE = 0.5, WAVES_BELOW = 0.5;
/** Bits of the ring, and opened bits of an angle, from which on nothing is lost. */
const RING_BITS = 30, ANGLE_BITS = 10;
/** How many times brighter images are; what ReLU and waves keep at least, and what polynomials keep at most. */
const BRIGHTNESS = "4", BRIGHT = { ReLU: 40, trigonometric: 15 } as const, BRIGHT_LOST = 13;
/** The last digits of a CSV are rounded. */
const ROUNDING = 1e-3;

const percent = (value: number) => `${value.toFixed(1)}\u00a0%`;
const isPolynomial = (row: Row) => row["method"].startsWith("polynomial");
const byRecipe = (rows: readonly Row[]): Row[][] => [...Map.groupBy(rows, (row) => row["recipe"]).values()];

/** Rows of one protocol a training: those of the others have the same plaintext. */
const trainings = (
  rows: readonly Row[],
): Row[] => [...new Map(rows.map((row) => [row["weights"], row])).values()];
const accuracy = (rows: readonly Row[]) => mean(rows.map((row) => numberOf(row, "plaintext_accuracy")));

/** The recipe with the best mean over its trainings. */
const best = (rows: readonly Row[]): Row[] | undefined =>
  byRecipe(rows).sort((a, b) => accuracy(b) - accuracy(a))[0];

/** Trainings of ConvNet on CIFAR-10 by recipes with enough seeds. */
function seededTrainings(rows: readonly Row[]): Row[] {
  const own = trainings(where(rows, { model: "convnet", dataset: "cifar10", epochs: EPOCHS }));
  return byRecipe(own).filter((same) => same.length >= SEEDS).flat();
}

interface Private {
  readonly images: number;
  readonly differences: readonly number[];
  readonly agreement: readonly number[];
}

function privateAccuracy(own: readonly Row[]): Private | undefined {
  if (own.length === 0) return undefined;
  return {
    images: Math.min(...own.map((row) => numberOf(row, "private_images"))),
    differences: own.map((row) =>
      Math.abs(numberOf(row, "private_accuracy") - numberOf(row, "plaintext_same_accuracy"))
    ),
    agreement: own.map((row) => numberOf(row, "agreement")),
  };
}

const showPrivate = ({ images, differences, agreement }: Private): string =>
  `${Math.max(...differences).toFixed(2)} points at most on ${images} images, classes agree in ${
    Math.min(...agreement).toFixed(2)
  }\u00a0% or more`;

interface Gap {
  readonly network: string;
  readonly relu: number;
  readonly other: number;
}

const showGaps = (found: readonly Gap[]) =>
  found.map(({ network, relu, other }) => `${network}: ${percent(other)} against ${percent(relu)}`).join(
    ", ",
  );

/** The best recipe with waves beside the best one with ReLU, both with enough seeds; undefined where either is missing. */
function wavesBesideRelu(rows: readonly Row[]): Gap | undefined {
  const own = seededTrainings(rows),
    relu = best(where(own, { activation: "relu" })),
    waves = best(where(own, { method: "trigonometric" }));
  return relu && waves && { network: "ConvNet", relu: accuracy(relu), other: accuracy(waves) };
}

function fewestBitsClaim(id: string, option: string, most: number, what: string) {
  return claim<{ fewest: readonly { name: string; bits: number | null }[] }>({
    id,
    sentence:
      `With ${most} bits of ${what}, or fewer, private inference of the shipped networks loses no classes.`,
    source: "ours",
    experiment: "precision_sweep",
    size: "quick",
    fully: "full",
    expected: `the fewest bits from which on the column is_lossless is true are at most ${most}`,
    tolerance:
      "0.3\u00a0% of the classes, or what is not significantly more on so few images (200 at size quick)",
    refuted: "a network that loses classes with this many bits, or with more",
    measure(rows) {
      const groups = Map.groupBy(
        where(rows, { option }),
        (row) => `${row["weights"].split("/").at(-1)} by ${row["protocol"]}`,
      );
      const fewest = [...groups].map(([name, same]) => ({ name, bits: fewestBits(same) }));
      return fewest.length > 0 ? { fewest } : undefined;
    },
    test: ({ fewest }) => fewest.every(({ bits }) => bits !== null && bits <= most),
    show: ({ fewest }) =>
      fewest.map(({ name, bits }) => `${name}: ${bits === null ? "no number" : `from ${bits} bits on`}`).join(
        ", ",
      ),
  });
}

export const accuracyClaims: readonly Claim[] = [
  claim<Private>({
    id: "private-accuracy",
    sentence:
      "On the same images, private inference of the shipped ConvNet is as accurate as plaintext, with every protocol.",
    source: "paper; here for the networks trained here",
    experiment: "accuracy_table",
    size: "quick",
    fully: "full",
    expected: "within 0.5 points",
    tolerance:
      "every row of ConvNet; one image where there are fewer than 200; images that depart are in the CSV",
    refuted: "one row of ConvNet that differs by more",
    measure: (rows) => privateAccuracy(where(rows, { model: "convnet" })),
    test: ({ images, differences }) => Math.max(...differences) <= Math.max(0.5, 100 / images) + ROUNDING,
    show: showPrivate,
  }),
  claim<Gap[]>({
    id: "shipped-near-relu",
    sentence:
      "The best shipped polynomial ConvNet, of degree 4, stays within 2 points of ReLU on CIFAR-10 and within 6 on the drawn shapes, at " +
      "equal epochs, each at its own learning rate.",
    source: "ours",
    experiment: "accuracy_table",
    size: "quick",
    fully: "full",
    expected: "at most 2 (CIFAR-10) and 6 (shapes) points below ReLU on all test images",
    tolerance:
      "the best polynomial and the best ReLU recipe of a data set, each by its mean over its trainings",
    refuted: "a larger gap",
    measure(rows) {
      const convnet = trainings(where(rows, { model: "convnet" }));
      const found = [...Map.groupBy(convnet, (row) => row["dataset"])].flatMap(([network, same]) => {
        const relu = best(where(same, { activation: "relu" })), polynomial = best(same.filter(isPolynomial));
        return relu && polynomial ? [{ network, relu: accuracy(relu), other: accuracy(polynomial) }] : [];
      });
      return found.length > 0 ? found : undefined;
    },
    test: (found) => found.every(({ network, relu, other }) => relu - other <= RELU_GAP[network] + ROUNDING),
    show: showGaps,
  }),
  claim<Private>({
    id: "private-accuracy-all",
    sentence:
      "On all test images, private inference of audited networks by lifted and by trigonometric is as accurate as plaintext and gives its class.",
    source: "ours",
    experiment: "accuracy_table",
    size: "full",
    expected: "within 0.1 points, and at least 99.7\u00a0% of the classes",
    tolerance:
      "none; a network whose inputs escape is refused by the audit (convnet-gelu), and its row stands unjudged in the CSV",
    refuted: "one audited network that differs by more, or whose classes agree less often",
    measure: (rows) =>
      privateAccuracy(
        where(rows, { audited: "true" }).filter((row) =>
          ["lifted", "trigonometric"].includes(row["protocol"]) &&
          row["private_images"] === row["test_images"]
        ),
      ),
    test: ({ differences, agreement }) =>
      Math.max(...differences) <= 0.1 + ROUNDING && Math.min(...agreement) >= 99.7 - ROUNDING,
    show: showPrivate,
  }),
  claim<Gap>({
    id: "waves-above-relu",
    sentence:
      `ConvNet with the trigonometric activation is above ReLU by at least ${WAVES_ABOVE} points, in the mean of ${SEEDS} seeds and by the same rules of training.`,
    source: "ours",
    experiment: "accuracy_table",
    size: "full",
    expected: `at least ${WAVES_ABOVE} points, all test images of CIFAR-10, ${EPOCHS} epochs each`,
    tolerance: "none; of several recipes the one with the best mean, on either side",
    refuted: "a smaller gap in the mean",
    measure: wavesBesideRelu,
    test: ({ relu, other }) => other - relu >= WAVES_ABOVE - ROUNDING,
    show: (gap) => showGaps([gap]),
  }),
  claim<{ network: string; difference: number; high: number }[]>({
    id: "waves-keep-relu",
    sentence:
      "No shipped network with waves is half a point below its twin with ReLU, or significantly below.",
    source: "ours",
    experiment: "accuracy_table",
    size: "full",
    expected: `at most ${WAVES_BELOW} points below, and not significantly`,
    tolerance:
      "the same test images, epochs and seed; significant is where all of the interval, paired over the images, one-sided 95\u00a0%, is below 0",
    refuted: "one network that is further below, or significantly",
    measure(rows) {
      const found = trainings(where(rows, { method: "trigonometric" })).flatMap((row) =>
        row["relu_difference"] === "" ? [] : [{
          network: row["weights"].split("/").at(-1)!,
          difference: numberOf(row, "relu_difference"),
          high: numberOf(row, "relu_high"),
        }]
      );
      return found.length > 0 ? found : undefined;
    },
    test: (found) =>
      found.every(({ difference, high }) => difference >= -WAVES_BELOW - ROUNDING && high >= 0),
    show: (found) =>
      found.map(({ network, difference }) =>
        `${network} ${difference < 0 ? "" : "+"}${difference.toFixed(2)}`
      )
        .join(", "),
  }),
  fewestBitsClaim("smallest-ring", "--ring-bits", RING_BITS, "the ring"),
  fewestBitsClaim("smallest-angle", "--angle-bits", ANGLE_BITS, "an opened angle"),
  claim<{ method: string; accuracy: number }[]>({
    id: "brightness",
    sentence:
      `On images ${BRIGHTNESS} times as bright, ConvNet with ReLU still tells classes apart in private inference, with waves less well, ` +
      "with a polynomial not at all.",
    source: "ours",
    experiment: "escape_resistance",
    size: "quick",
    fully: "full",
    expected:
      `ReLU at least ${BRIGHT.ReLU}\u00a0%, waves ${BRIGHT.trigonometric}\u00a0%, polynomials at most ${BRIGHT_LOST}\u00a0%`,
    tolerance: "none; chance is 10\u00a0%",
    refuted: "ReLU or waves below, or a polynomial above",
    measure(rows) {
      const bright = where(rows, { factor: BRIGHTNESS });
      const found = bright.map((row) => ({
        method: row["method"],
        accuracy: numberOf(row, "private_accuracy"),
      }));
      const isThere = ["ReLU", "trigonometric", "polynomial"].every((kind) =>
        found.some(({ method }) => method.startsWith(kind))
      );
      return isThere ? found : undefined;
    },
    test: (found) =>
      found.every(({ method, accuracy }) =>
        method in BRIGHT ? accuracy >= BRIGHT[method as keyof typeof BRIGHT] : accuracy <= BRIGHT_LOST
      ),
    show: (found) => found.map(({ method, accuracy }) => `${method} ${percent(accuracy)}`).join(", "),
  }),
  claim<{ weights: string; same: boolean }[]>({
    id: "retrained-bits",
    sentence:
      "A shipped ConvNet that is trained again from its training.json comes out the same to the last bit.",
    source: "ours",
    experiment: "retraining",
    size: "full",
    expected: "the same SHA-256 of the weights",
    tolerance:
      "none, on a machine that rounds a product and a sum as the first one did (fma in training.json)",
    refuted: "one network that comes out with another SHA-256",
    measure: (rows) => rows.map((row) => ({ weights: row["weights"], same: row["is_same"] === "true" })),
    test: (found) => found.every(({ same }) => same),
    show: (found) =>
      found.map(({ weights, same }) => `${weights.split("/").at(-1)} ${same ? "the same" : "another"}`).join(
        ", ",
      ),
  }),
];

/** The fewest bits from which on upwards nothing is lost; null: even the most lose something. */
export function fewestBits(rows: readonly Row[]): number | null {
  let fewest: number | null = null;
  for (const row of rows.toSorted((a, b) => numberOf(b, "bits") - numberOf(a, "bits"))) {
    if (row["is_lossless"] !== "true") break;
    fewest = numberOf(row, "bits");
  }
  return fewest;
}
