/** What the answers of a session are worth: opened logits beside those of plaintext, and classes beside what images show. */
import type { OpenedAnswer } from "../inference/batches.ts";
import { distance, largest } from "../inference/oracle.ts";
import { classOf } from "../inference/parties.ts";
import { wilsonInterval } from "../report/statistics.ts";

/** What the plaintext engines give for an image. */
export interface Expected {
  readonly float: ArrayLike<number>;
  /** Null: a value leaves the range of fixed point; undefined: it was not asked. */
  readonly fixed: ArrayLike<number> | null | undefined;
}

/** Logits as a party opened them, and as they should be. */
export interface Answer extends OpenedAnswer, Expected {}

/** Opened logits against the plaintext engines; those with a gross error are counted and left out. */
export function compareLogits(answers: readonly Answer[]) {
  const sound = answers.filter((answer) => !isGross(answer)), pairs = sound.length > 0 ? sound : answers;
  const fromFloat = distance(pairs.map(({ logits, float }) => [logits, float])),
    fromFixed = distance(pairs.flatMap(({ logits, fixed }) => fixed ? [[logits, fixed]] : []));
  const others = pairs.filter(({ logits, float }) => classOf(logits) !== classOf(float));
  return {
    maxAbsError: fromFloat.max,
    meanAbsError: fromFloat.mean,
    oracleMaxAbsError: pairs.some(({ fixed }) => fixed) ? fromFixed.max : null,
    largestLogit: answers.reduce((max, { float }) => Math.max(max, largest(float)), 0),
    argmaxAgrees: answers.every(({ float }) => isFinite(float)) ? others.length === 0 : null,
    withinError: others.every(({ logits, float }) =>
      float[classOf(float)] - float[classOf(logits)] <= 2 * fromFloat.max
    ),
    grossErrors: answers.length - sound.length,
  };
}

/**
 * A logit further from fixed point than any rounding: a share was truncated across a wrap-around. Where fixed point was not asked
 * floating point stands for it, and the activation inputs of such an image may as well have left what fixed point holds.
 */
function isGross({ logits, float, fixed }: Answer): boolean {
  const right = fixed === undefined ? float : fixed;
  return right !== null && distance([[logits, right]]).max > Math.max(1, largest(right));
}

const isFinite = (logits: ArrayLike<number>) => Array.from(logits).every(Number.isFinite);

/** The classes of many images, one an answer, and how right they are where it is known what the images show. */
export function classify(answers: readonly Answer[], labels: readonly number[] | null) {
  const classes = answers.map(({ logits, unreliable }) => unreliable ? null : classOf(logits)),
    plaintextClasses = answers.map(({ float }) => classOf(float));
  const accuracy = (found: readonly (number | null)[], labels: readonly number[]) => {
    const right = found.filter((label, i) => label === labels[i]).length;
    const { value, low, high } = wilsonInterval(right, found.length);
    return { percent: 100 * value, low: 100 * low, high: 100 * high };
  };
  return {
    images: answers.length,
    classes,
    plaintextClasses,
    agree: classes.filter((label, i) => label === plaintextClasses[i]).length,
    departures: classes.flatMap((label, image) =>
      label === plaintextClasses[image]
        ? []
        : [{ image, private: label, plaintext: plaintextClasses[image], gap: gapOf(answers[image].float) }]
    ),
    accuracy: labels && { private: accuracy(classes, labels), plaintext: accuracy(plaintextClasses, labels) },
  };
}

/** How far the second largest logit lies below the largest. */
function gapOf(logits: ArrayLike<number>): number {
  const [first, second] = Array.from(logits).sort((a, b) => b - a);
  return first - second;
}
