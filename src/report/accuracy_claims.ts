/**
 * Claims about the trained networks that ship: what private inference leaves of their accuracy, how near they are to ReLU, how few bits
 * do, and what bright images do to them. A smoke run asks about too few images to judge any of them.
 */
import { type Claim, claim, where } from "./claim.ts";
import { numberOf, optionalNumber, type Row } from "./csv.ts";
import { isOnSmallRing, isRefusedByAudit } from "./small_rings.ts";
import { mean, tInterval } from "./statistics.ts";

/** Points by which the best polynomial network may fall behind ReLU, by data set. */
const RELU_GAP: Readonly<Record<string, number>> = { cifar10: 2, shapes: 6 };
/** Seeds from which on a mean over trainings is claimed about, and their epochs. */
const SEEDS = 3, EPOCHS = "60";
/** Points by which waves are above ReLU on ConvNet, and by which they may be below on any network. */
const WAVES_ABOVE = 0.5, WAVES_BELOW = 0.5;
/** Bits of the ring, and opened bits of an angle, from which on nothing is lost. */
const RING_BITS = 30, ANGLE_BITS = 10;
/** Percent of the classes that private inference gives as plaintext does; a hundred classes have closer logits than ten. */
const AGREEMENT: Readonly<Record<string, number>> = { cifar10: 99.7, shapes: 99.7, cifar100: 99.5 };
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

/** A network asked about by a protocol. */
interface Private {
  readonly name: string;
  readonly dataset: string;
  readonly images: number;
  readonly difference: number;
  readonly agreement: number;
}

const nameOf = (row: Row): string => row["weights"].split("/").at(-1)!;

const privateAccuracy = (own: readonly Row[]): Private[] =>
  own.map((row) => ({
    name: nameOf(row),
    dataset: row["dataset"],
    images: numberOf(row, "private_images"),
    difference: Math.abs(numberOf(row, "private_accuracy") - numberOf(row, "plaintext_same_accuracy")),
    agreement: numberOf(row, "agreement"),
  }));

const departuresOf = (images: number, agreement: number) => images * (100 - agreement) / 100;

/** Points by which a private run may differ: a tenth, of few images one, or three deviations of what its departures make by chance. */
function allowedDifference({ images, agreement }: Private): number {
  // Each may be to the better or to the worse, and which images depart depends on the shares.
  const departed = departuresOf(images, agreement), byChance = Math.min(departed, 3 * Math.sqrt(departed));
  return Math.max(0.1, 100 * Math.max(1, byChance) / images) + ROUNDING;
}

/** Whether no more images depart than the share that is allowed of all makes of so few, with three deviations; one always may. */
function agreesEnough({ images, agreement, dataset }: Private): boolean {
  const mean = departuresOf(images, AGREEMENT[dataset]);
  return departuresOf(images, agreement) <= Math.max(1, mean + 3 * Math.sqrt(mean)) + ROUNDING;
}

/** The largest difference with its own number of images: of few, one is more. */
function showPrivate(found: readonly Private[]): string {
  const { name, images, difference } = found.toSorted((a, b) => b.difference - a.difference)[0];
  const agreements = [...Map.groupBy(found, (one) => one.dataset)].map(([dataset, same]) =>
    `${Math.min(...same.map((one) => one.agreement)).toFixed(2)}\u00a0% or more on ${dataset}`
  );
  return `${found.length} rows, ${
    difference.toFixed(2)
  } points at most (${name}, ${images} images), classes agree in ${agreements.join(", ")}`;
}

/** The best polynomial beside the best ReLU, and the best polynomial that the audit accepts. */
interface Gap {
  readonly dataset: string;
  readonly relu: number;
  readonly polynomial: number;
  readonly name: string;
  readonly audited: { readonly name: string; readonly accuracy: number } | undefined;
}

const showGap = ({ dataset, relu, polynomial, name, audited }: Gap) =>
  `${dataset}: ${percent(polynomial)} (${name}) against ${percent(relu)}` +
  (audited?.name === name
    ? ""
    : audited
    ? `; of those that the audit accepts ${percent(audited.accuracy)} (${audited.name})`
    : "; the audit accepts none");

/** The best recipe with waves beside the best one with ReLU: accuracies by seed. */
interface Waves {
  readonly relu: readonly number[];
  readonly waves: readonly number[];
  /** Seed by seed, of the seeds that both have. */
  readonly differences: readonly number[];
}

/** Both with enough seeds; undefined where either is missing. */
function wavesBesideRelu(rows: readonly Row[]): Waves | undefined {
  const own = seededTrainings(rows),
    relu = best(where(own, { activation: "relu" })),
    waves = best(where(own, { method: "trigonometric" }));
  if (!relu || !waves) return undefined;
  const of = (row: Row) => numberOf(row, "plaintext_accuracy");
  return {
    relu: relu.map(of),
    waves: waves.map(of),
    differences: waves.flatMap((row) =>
      where(relu, { training_seed: row["training_seed"] }).map((twin) => of(row) - of(twin))
    ),
  };
}

/** The gap of the means, and what few seeds say of other trainings: a wide interval. */
function showWaves({ relu, waves, differences }: Waves): string {
  const text = `${percent(mean(waves))} against ${percent(mean(relu))}`;
  if (differences.length < SEEDS) return text;
  const { low, high } = tInterval(differences);
  const [least, most] = [Math.min(...differences), Math.max(...differences)];
  return `${text}; by seed ${signed(least)} to ${signed(most)} points, 95\u00a0% interval of the mean ${
    signed(low)
  } to ${signed(high)}`;
}

const isOfCifar10 = ({ dataset }: { readonly dataset: string }) => dataset === "cifar10";
const signed = (points: number) => `${points < 0 ? "\u2212" : "+"}${Math.abs(points).toFixed(2)}`;

function fewestBitsClaim(id: string, option: string, most: number, what: string) {
  return claim<{ fewest: readonly { name: string; bits: number | null }[] }>({
    id,
    sentence:
      `With ${most} bits of ${what}, or fewer, private inference of the ConvNets measured gives the classes of plaintext, but for 0.3\u00a0% or no significant number.`,
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
        where(rows, { option, model: "convnet" }),
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
  claim<Private[]>({
    id: "private-accuracy",
    sentence:
      "On the same images, private inference of the shipped ConvNets is as accurate as plaintext: by lifted and trigonometric where the " +
      "audit accepts the network, by relu, honeybadger and espn of all.",
    source: "paper; here for the networks trained here",
    experiment: "accuracy_table",
    size: "quick",
    fully: "full",
    expected: "within 0.1 points, and the class of plaintext for 99.7\u00a0% of the images",
    tolerance:
      "every such row of ConvNet; one image where there are fewer than 1000; three deviations of what so many departing images " +
      "make by chance, and of how many of so few depart, where that is more; they are in the CSV",
    refuted: "one row of ConvNet that differs by more, or whose classes agree less often",
    measure(rows) {
      const own = where(rows, { model: "convnet" })
        .filter((row) => !isRefusedByAudit(row));
      return own.length > 0 ? privateAccuracy(own) : undefined;
    },
    test: (found) => found.every((one) => one.difference <= allowedDifference(one) && agreesEnough(one)),
    show: showPrivate,
  }),
  claim<Gap[]>({
    id: "shipped-near-relu",
    sentence:
      "The best shipped polynomial ConvNet, of degree 4, stays within 2 points of ReLU on CIFAR-10 and within 6 on the drawn shapes, in the " +
      "clear, at equal epochs, each at its own learning rate.",
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
      const accepted = (row: Row) =>
        where(rows, { weights: row["weights"], protocol: "lifted" }).some((one) => one["audited"] === "true");
      const found = [...Map.groupBy(convnet, (row) => row["dataset"])].flatMap(([dataset, same]) => {
        const relu = best(where(same, { activation: "relu" })),
          polynomials = same.filter(isPolynomial),
          polynomial = best(polynomials),
          audited = best(polynomials.filter(accepted));
        if (!relu || !polynomial) return [];
        return [{
          dataset,
          relu: accuracy(relu),
          polynomial: accuracy(polynomial),
          name: nameOf(polynomial[0]),
          audited: audited && { name: nameOf(audited[0]), accuracy: accuracy(audited) },
        }];
      });
      return found.length > 0 ? found : undefined;
    },
    test: (found) =>
      found.every(({ dataset, relu, polynomial }) => relu - polynomial <= RELU_GAP[dataset] + ROUNDING),
    show: (found) => found.map(showGap).join(", "),
  }),
  claim<{ readonly all: readonly Private[]; readonly fewer: readonly string[] }>({
    id: "private-accuracy-all",
    sentence:
      "On all test images, private inference of audited networks by lifted and by trigonometric is as accurate as plaintext and gives its class.",
    source: "ours",
    experiment: "accuracy_table",
    size: "full",
    expected:
      "within 0.1 points, and at least 99.7\u00a0% of the classes; 99.5\u00a0% on CIFAR-100, whose hundred logits lie closer",
    tolerance:
      "none, though more angle bits would help there (docs/trigonometric.md); a network whose inputs escape is refused by the audit (convnet-gelu), and its row stands unjudged in the CSV",
    refuted: "one audited network that differs by more, or whose classes agree less often",
    measure(rows) {
      const audited = where(rows, { audited: "true" }).filter((row) => isOnSmallRing(row["protocol"]));
      const isWhole = (row: Row) => row["private_images"] === row["test_images"];
      const all = privateAccuracy(audited.filter(isWhole));
      const fewer = audited.filter((row) => !isWhole(row)).map(nameOf);
      return all.length > 0 ? { all, fewer } : undefined;
    },
    test: ({ all, fewer }) =>
      fewer.length === 0 &&
      all.every((one) =>
        one.difference <= 0.1 + ROUNDING && one.agreement >= AGREEMENT[one.dataset] - ROUNDING
      ),
    show: ({ all, fewer }) =>
      showPrivate(all) + (fewer.length === 0 ? "" : `; not asked about all images: ${fewer.join(", ")}`),
  }),
  claim<Waves>({
    id: "waves-above-relu",
    sentence:
      `ConvNet with the trigonometric activation is above ReLU by at least ${WAVES_ABOVE} points, in the mean of ${SEEDS} seeds and by the same rules of training.`,
    source: "ours",
    experiment: "accuracy_table",
    size: "full",
    expected: `at least ${WAVES_ABOVE} points, all test images of CIFAR-10, ${EPOCHS} epochs each`,
    tolerance:
      "none; of several recipes the one with the best mean, on either side; about these trainings, not about others: see the interval",
    refuted: "a smaller gap in the mean",
    measure: wavesBesideRelu,
    test: ({ relu, waves }) => mean(waves) - mean(relu) >= WAVES_ABOVE - ROUNDING,
    show: showWaves,
  }),
  claim<{ network: string; dataset: string; difference: number | undefined; high: number }[]>({
    id: "waves-keep-relu",
    sentence:
      "On CIFAR-10 no shipped network with waves whose twin with ReLU ships is half a point below it, or significantly below.",
    source: "ours",
    experiment: "accuracy_table",
    size: "full",
    expected: `at most ${WAVES_BELOW} points below, and not significantly`,
    tolerance:
      "the same test images, epochs and seed; significant is where all of the interval, paired over the images, one-sided 95\u00a0%, is below 0; " +
      "networks of other data are shown and not judged",
    refuted:
      "one network that is further below, or significantly, or that nobody compared with the twin that ships",
    measure(rows) {
      const relu = where(rows, { activation: "relu" });
      const found = trainings(where(rows, { method: "trigonometric" })).flatMap((row) => {
        const { model, dataset, epochs, training_seed } = row as Record<
          "model" | "dataset" | "epochs" | "training_seed",
          string
        >;
        // A twin that is named without a difference is one whose weights do not ship.
        const isCompared = row["relu_difference"] !== "",
          isLeftOut = !isCompared && row["relu_weights"] !== "",
          hasTwin = isCompared || where(relu, { model, dataset, epochs, training_seed }).length > 0;
        return hasTwin && !isLeftOut
          ? [{
            network: nameOf(row),
            dataset,
            difference: optionalNumber(row, "relu_difference"),
            high: optionalNumber(row, "relu_high") ?? -Infinity,
          }]
          : [];
      });
      return found.some(isOfCifar10) ? found : undefined;
    },
    test: (found) =>
      found.filter(isOfCifar10).every(({ difference = -Infinity, high }) =>
        difference >= -WAVES_BELOW - ROUNDING && high >= 0
      ),
    show: (found) =>
      found.map(({ network, dataset, difference }) =>
        `${network}${isOfCifar10({ dataset }) ? "" : ` on ${dataset}`} ${
          difference === undefined ? "not compared" : signed(difference)
        }`
      ).join(", "),
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
  claim<{ weights: string; same: boolean; comparable: boolean }[]>({
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
    measure: (rows) =>
      rows.map((row) => ({
        weights: row["weights"],
        same: row["is_same"] === "true",
        comparable: row["rounds_alike"] !== "false",
      })),
    test: (found) => found.every(({ same }) => same),
    unjudged: (found) =>
      found.some(({ same }) => !same) && found.every(({ same, comparable }) => same || !comparable)
        ? { kind: "machine", text: "on a machine that rounds a product and a sum otherwise" }
        : undefined,
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
