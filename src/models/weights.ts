/** Weights of a network: which tensors it has, and random ones. */
export * from "./weight_shapes.ts";
export { randomWeights, seededImage } from "./random_weights.ts";
