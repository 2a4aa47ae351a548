/**
 * Plaintext inference by ONNX Runtime in machine code as a gauge of the machine, in one process that stays: a reading takes 0.15 s of
 * the 4 that it takes to make the network's file and to start.
 */
import { foldBatchNorm } from "../models/fold.ts";
import { randomWeights, seededImage } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { exportOnnx } from "../onnx/export.ts";
import { imageToOnnx } from "../onnx/layout.ts";
import { NotLoadedError, OnnxProcess, type Question } from "../onnx/runtime.ts";

const RELU = { kind: "relu" } as const;

export class OnnxGauge {
  readonly #process: OnnxProcess;
  readonly #shape: readonly number[];

  private constructor(process: OnnxProcess, shape: readonly number[]) {
    this.#process = process;
    this.#shape = shape;
  }

  /** A network of the zoo with ReLU and random weights; undefined where the runtime is not to be had. */
  static async open(name: string): Promise<OnnxGauge | undefined> {
    const model = buildModel(name), { graph, weights } = foldBatchNorm(model, randomWeights(model, 1, RELU));
    const [height, width, channels] = model.inputShape,
      image = imageToOnnx(seededImage(model, 1), model.inputShape);
    const process = new OnnxProcess("native", exportOnnx(graph, weights, RELU), image);
    const gauge = new OnnxGauge(process, [1, channels, height, width]);
    try {
      await gauge.read({ queries: 1, warmUp: 0 });
    } catch (error) {
      await process[Symbol.asyncDispose]();
      if (error instanceof NotLoadedError) return undefined;
      throw error;
    }
    return gauge;
  }

  /** Milliseconds of each query, on one thread. */
  async read(
    { queries, warmUp }: { readonly queries: number; readonly warmUp: number },
  ): Promise<readonly number[]> {
    const question: Question = { shape: this.#shape, repetitions: queries, warmUp };
    return (await this.#process.ask(question)).times;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}
