/** The memory of a shard as its layers see it: numbers at addresses, and the kernels that work on them. */
import type { GraphPlan } from "./graph_steps.ts";
import type { LayerKernels } from "./layer_kernels.ts";
import { type ParameterLayout, stateFloats } from "./parameter_layout.ts";

export class ShardMemory {
  readonly floats: Float32Array;
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  /** All parameters, running statistics and momentum: see {@linkcode layoutParameters}. */
  readonly state: Float32Array;
  readonly gradients: Float32Array;

  constructor(
    readonly plan: GraphPlan,
    readonly layout: ParameterLayout,
    readonly kernels: LayerKernels,
    buffer: ArrayBufferLike,
  ) {
    this.floats = new Float32Array(buffer);
    this.words = new Int32Array(buffer);
    this.doubles = new Float64Array(buffer);
    this.state = this.floatsAt(plan.parameters, stateFloats(layout));
    this.gradients = this.floatsAt(plan.gradients, layout.total);
  }

  floatsAt(address: number, length: number): Float32Array {
    return this.floats.subarray(address / 4, address / 4 + length);
  }

  /** Doubles of scratch memory, set to 0. */
  clearedScratch(length: number): Float64Array {
    const at = this.plan.scratch / 8;
    return this.doubles.subarray(at, at + length).fill(0);
  }

  /** Writes the values of a channel into every repetition of it, one value to each of the tables in a row. */
  fillTables(
    address: number,
    period: number,
    channels: number,
    values: (c: number) => readonly number[],
  ): void {
    for (let c = 0; c < channels; c++) {
      values(c).forEach((value, table) => {
        for (let i = c; i < period; i += channels) this.floats[address / 4 + table * period + i] = value;
      });
    }
  }

  /** Clears the sums of a table of channels, f64 [2][period]. */
  clearSums(sums: number, period: number): void {
    this.doubles.fill(0, sums / 8, sums / 8 + 2 * period);
  }

  /** Sum of a channel over the repetitions in f64 [2][period]; `part` is 0 or 1. */
  channelSum(sums: number, period: number, channels: number, channel: number, part: 0 | 1): number {
    let sum = 0;
    for (let i = channel; i < period; i += channels) sum += this.doubles[sums / 8 + part * period + i];
    return sum;
  }
}
