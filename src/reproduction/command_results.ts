/** What commands print with `--json` and experiments read: typed once, here. JSON has null for what is no finite number. */
import type { Calibration } from "../network/calibration.ts";
import type { Metrics } from "../training/evaluation.ts";
import type { Run } from "../training/recipe.ts";
import type { Divergence } from "../training/trainer.ts";

/** Logits of a query: private, and of the plaintext engines. */
export interface Answer {
  readonly logits: readonly (number | null)[];
  readonly float: readonly (number | null)[];
  /** Null where a value left the range of fixed point. */
  readonly fixed: readonly (number | null)[] | null;
}

/** A share of images in percent, with its 95 % Wilson interval. */
export interface Accuracy {
  readonly percent: number;
  readonly low: number;
  readonly high: number;
}

/** Of many images, each asked about once. */
export interface Classification {
  readonly images: number;
  /** The class of each; null where its logits are beyond their public bound, so that the client has none. */
  readonly classes: readonly (number | null)[];
  readonly plaintextClasses: readonly number[];
  /** Images whose class is that of plaintext. */
  readonly agree: number;
  /** The others; `gap`: from the largest logit of plaintext to the second. */
  readonly departures: readonly {
    readonly image: number;
    readonly private: number | null;
    readonly plaintext: number;
    readonly gap: number;
  }[];
  /** Null: it is not known what the images show. */
  readonly accuracy: { readonly private: Accuracy; readonly plaintext: Accuracy } | null;
}

type OfParties<T> = { readonly server: T; readonly client: T };

/** `infer --json`: figures of the last query that do not vary, medians of the times. */
export interface InferResult {
  readonly model: string;
  readonly classes: number;
  readonly activation: string;
  readonly linear: string;
  readonly profile: string;
  readonly ringBits: number;
  readonly fractionBits: number;
  readonly repetitions: number;
  /** Images of a query; mirrored ones are among them. */
  readonly batch: number;
  readonly mirror: boolean;
  /** Over the offline and online phases together; an image and its mirror image are one. */
  readonly imagesPerSecond: number;
  readonly threads: number;
  readonly prepare: number;
  readonly weights: string | null;
  readonly note: string | null;
  readonly label: number | null;
  readonly classNames: readonly string[] | null;
  readonly exchanges: number;
  readonly oneWayDelays: number;
  readonly paperExchanges: number;
  readonly bytesSent: OfParties<number>;
  readonly setup: { readonly ms: number; readonly bytes: number };
  readonly offline: { readonly ms: number; readonly bytes: number; readonly partyBytes: number };
  readonly heldBytes: OfParties<number>;
  readonly online: { readonly medianMs: number; readonly q1Ms: number; readonly q3Ms: number };
  readonly computeMs: OfParties<number>;
  readonly peakRssMB: OfParties<number> & { readonly dealer: number };
  /** Null: left to the scheduler. */
  readonly cores: readonly number[] | null;
  readonly maxAbsError: number;
  readonly meanAbsError: number;
  /** Images that were compared with fixed point. */
  readonly checked: number;
  /** Null: no query was compared with fixed point, or stayed in its range. */
  readonly oracleMaxAbsError: number | null;
  readonly largestLogit: number;
  /** Null: plaintext itself has no class. */
  readonly argmaxAgrees: boolean | null;
  /** Whether every class that differs had a logit so close to the largest one that the error decides. */
  readonly withinError: boolean;
  readonly grossErrors: number;
  readonly unreliable: boolean;
  readonly class: number | null;
  /** Null: one image was asked about. */
  readonly classification: Classification | null;
  readonly flags: readonly string[];
  /** With `--logits`. */
  readonly answers?: readonly Answer[];
}

/** By what plaintext inference can be timed: `plaintext --runtime`. */
export type PlaintextRuntime = "tfjs" | "onnx-web" | "onnx-native";

/** `plaintext --json`: milliseconds of the inferences that count. */
export interface PlaintextResult {
  readonly model: string;
  readonly classes: number;
  readonly activation: string;
  readonly runtime: PlaintextRuntime;
  readonly medianMs: number;
  readonly q1Ms: number;
  readonly q3Ms: number;
  readonly times: readonly number[];
}

/** `plaintext --json` where the runtime is not to be had, and why. */
export interface NotLoadedResult {
  readonly runtime: PlaintextRuntime;
  readonly notLoaded: string;
}

/** `calibrate --json`. */
export interface CalibrateResult {
  readonly profile: string;
  readonly configured: { readonly rttMs: number; readonly bitsPerSecond: number | null };
  readonly measured: Calibration;
  readonly source: string;
}

/** `train --json`. */
export interface TrainResult {
  readonly out: string;
  readonly run: Run;
  readonly trainImages: number;
  readonly epochsDone: number;
  readonly evaluatedOn: "held-out" | "test";
  /** After the last epoch, without the clip; null if it diverged. */
  readonly evaluation: Metrics | null;
  readonly clipped: Metrics | null;
  /** Accuracy in the last epoch, with the clip and on augmented images. */
  readonly trainAccuracy: number | null;
  readonly diverged: Divergence | null;
  readonly layers: readonly string[];
  /** Largest |input| of each activation layer in the last steps, the last one last. */
  readonly lastInputs: readonly (readonly (number | null)[])[];
  readonly seconds: number;
  readonly imagesPerSecond: number;
}

/** `evaluate --json`. */
export interface EvaluateResult extends Metrics {
  readonly model: string;
  readonly dataset: string;
  readonly activation: string;
  readonly evaluatedOn: "held-out" | "test";
  readonly range: number;
  readonly clip: number | null;
  readonly engine: string;
  /** With `--each`. */
  readonly right?: readonly boolean[];
}

/** `load --json`. */
export interface LoadResult {
  readonly model: string;
  readonly activation: string;
  readonly clients: number;
  readonly seconds: number;
  readonly queries: number;
  readonly queriesPerSecond: number;
  /** Offline and online phase of a query, as its client saw them. */
  readonly queryMs: { readonly median: number; readonly p99: number };
  readonly onlineMs: { readonly median: number; readonly p99: number };
  readonly peakRssMB: { readonly server: number; readonly dealer: number };
  /** At first, every ten seconds, and at last; empty where the system does not say. */
  readonly serverRssMB: readonly number[];
  /** Why clients ended that nobody had killed. */
  readonly lost: readonly string[];
  readonly disturbances: { readonly killed: number; readonly strangers: number };
  /** Queries of the server's whole life, and those that were dealt: each once, and some of them to clients that died. */
  readonly answered: number;
  readonly dealt: number;
}
