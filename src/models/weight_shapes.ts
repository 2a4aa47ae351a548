/** Which tensors a network needs, and whether given ones fit. */
import { type Graph, inferShapes, type Weights } from "./graph.ts";

const BATCH_NORM_PARTS = ["scale", "offset", "mean", "variance"];

/** Names and shapes of the tensors of a network, in the order of its nodes. */
export function weightShapes(graph: Graph): Map<string, readonly number[]> {
  const shapes = inferShapes(graph), expected = new Map<string, readonly number[]>();
  for (const node of graph.nodes) {
    if (node.op === "conv" || node.op === "dense") {
      const inputs = shapes.get(node.input)![2];
      const kernel = node.op === "conv" ? [node.kernel, node.kernel] : [];
      expected.set(`${node.id}.weight`, [...kernel, inputs, node.outputs]);
      if (node.bias) expected.set(`${node.id}.bias`, [node.outputs]);
    } else if (node.op === "batchNorm") {
      for (const part of BATCH_NORM_PARTS) expected.set(`${node.id}.${part}`, [shapes.get(node.id)![2]]);
    } else if (node.op === "activation" && node.fourier) {
      expected.set(`${node.id}.fourier`, [node.fourier.length]);
    }
  }
  return expected;
}

/**
 * Checks that weights are those of a network: every tensor there, none besides, shapes as expected, all
 * values finite, no variance negative.
 *
 * @throws {RangeError} that names the tensor, the expected and the found shape
 */
export function checkWeights(graph: Graph, weights: Weights): void {
  const expected = weightShapes(graph), of = `weights of ${graph.name} (${graph.classes} classes)`;
  for (const [name, shape] of expected) {
    const tensor = weights.get(name);
    if (!tensor) throw new RangeError(`${of}: tensor ${name} [${shape}] is missing`);
    if (tensor.shape.join() !== shape.join()) {
      throw new RangeError(`${of}: tensor ${name} must have shape [${shape}], found [${tensor.shape}]`);
    }
    const size = shape.reduce((product, n) => product * n, 1);
    if (tensor.data.length !== size) {
      throw new RangeError(
        `${of}: tensor ${name} [${shape}] must hold ${size} values, found ${tensor.data.length}`,
      );
    }
    // A sum is finite only if all summands are (float32 summands cannot overflow a double).
    let sum = 0;
    for (let i = 0; i < size; i++) sum += tensor.data[i];
    if (!Number.isFinite(sum)) {
      const i = tensor.data.findIndex((v) => !Number.isFinite(v));
      throw new RangeError(`${of}: tensor ${name} holds ${tensor.data[i]} at index ${i}`);
    }
    if (name.endsWith(".variance") && tensor.data.some((v) => v < 0)) {
      throw new RangeError(`${of}: tensor ${name} holds a negative variance`);
    }
  }
  for (const [name, { shape }] of weights) {
    if (!expected.has(name)) throw new RangeError(`${of}: tensor ${name} [${shape}] belongs to no layer`);
  }
}
