/**
 * Private inference of neural networks by two parties and a dealer: networks as data, fixed point modulo 2^64 or in small rings, protocols for
 * linear layers and activations, sessions over any channel.
 *
 * @module
 */
export * from "./src/models/graph.ts";
export type { FixedValue } from "./src/models/fixed_engine.ts";
export { activationLayer, buildModel, MODEL_NAMES } from "./src/models/zoo.ts";
export { countModel } from "./src/models/counts.ts";
export { foldBatchNorm, foldGraph } from "./src/models/fold.ts";
export { evaluate, evaluateLogits } from "./src/models/float_engine.ts";
export { floatForward, measureRanges, type Ranges, rangesOf } from "./src/models/ranges.ts";
export { checkWeights, randomWeights, seededImage } from "./src/models/weights.ts";
export { fittedWave, layerActivation, type Trigonometric } from "./src/models/trigonometric.ts";
export { readSafetensors, writeSafetensors } from "./src/models/safetensors.ts";

export type { Dataset, Split } from "./src/data/dataset.ts";
export { readImageList, writeImageList } from "./src/data/image_list.ts";
export { readModelFolder, weightsFile, writeModelFolder } from "./src/data/model_folder.ts";
export { openDataset } from "./src/data/open_dataset.ts";

export {
  evaluatePolynomial,
  FITTED_RANGE,
  formatPolynomial,
  horner,
  type Polynomial,
  QUARTIC,
} from "./src/polynomial/polynomial.ts";

export { integerFit, realFit } from "./src/polynomial/integer_fit.ts";

export { Ring } from "./src/ring/ring.ts";
export { RingTensor, words } from "./src/ring/tensor.ts";
export * from "./src/ring/arithmetic.ts";
export { decode, encode } from "./src/ring/fixed_point.ts";
export { freshSeed, Seed, Stream } from "./src/random/stream.ts";

export * from "./src/network/channel.ts";
export { calibrate, type Calibration } from "./src/network/calibration.ts";
export { memoryPair } from "./src/network/memory_pair.ts";
export { NETWORK_PROFILES, type NetworkProfile, networkProfile } from "./src/network/profiles.ts";
export { connect, listen } from "./src/network/tcp.ts";

export * from "./src/correlations/correlation.ts";
export { Dealing } from "./src/correlations/dealing.ts";
export { type Drawn, StepDraw } from "./src/correlations/drawn.ts";
export { type Draw, fromDealer, type Refuses, type Source } from "./src/correlations/source.ts";
export { type Half, readBits, valueBits, type Wire } from "./src/wires/wire.ts";
export * from "./src/protocols/protocol.ts";
export {
  ACTIVATION_PROTOCOLS,
  activationProtocol,
  DEFAULT_ACTIVATION,
  DEFAULT_LINEAR,
  LINEAR_PROTOCOLS,
  linearProtocol,
} from "./src/protocols/registry.ts";
export { powerGroups } from "./src/protocols/activation/power_groups.ts";
export type { ActivationSpec } from "./src/protocols/activation/words64.ts";
export { droppedBits, type LiftedSpec, liftedSpecOf, shiftBits } from "./src/protocols/activation/lifted.ts";

export { fixedPointValues, realOf } from "./src/inference/oracle.ts";
export { costOf, type PlanCost } from "./src/inference/cost.ts";
export type { Plan, PlanOptions } from "./src/inference/plan.ts";
export { planInference } from "./src/inference/planner.ts";
export { type Audit, audit } from "./src/inference/audit.ts";
export { isUnreliable, logitBound } from "./src/inference/guard.ts";
export {
  openSession,
  type PreparedQuery,
  type Session,
  type SessionOptions,
} from "./src/inference/session.ts";
export { runDealer } from "./src/inference/dealer.ts";
export { ServerWeights } from "./src/inference/server_weights.ts";
export { answer } from "./src/roles/answering.ts";
export { ask } from "./src/roles/asking.ts";
export { dealOnce } from "./src/roles/dealing.ts";
export { openInProcess } from "./src/inference/in_process.ts";
export { classOf } from "./src/inference/parties.ts";
