import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { foldBatchNorm } from "../models/fold.ts";
import { randomWeights } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { Convolution } from "../ring/convolution.ts";
import { ConvolutionPool, Threads } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { planInference } from "./planner.ts";
import { ServerWeights } from "./server_weights.ts";

it("sessions of a server whose pool lost a thread get convolutions that do without, once for all", async () => {
  const ring = await Ring.open(), threads = new Threads(2), original = buildModel("minionn-bn");
  using pool = new ConvolutionPool(ring, threads);
  const { graph, weights: floats } = foldBatchNorm(original, randomWeights(original, 1, QUARTIC));
  const plan = planInference(graph, { activation: "lifted", linear: "masked", function: QUARTIC });
  const weights = new ServerWeights(pool, plan, floats);
  const linear = plan.steps.filter(({ kind }) => kind === "linear")[1];
  const spec = { height: 32, width: 32, inputs: 64, kernel: 3, stride: 1, padding: 1, outputs: 64 };
  const packed = () => {
    const [{ weights: words, bias, packed }] = weights.layers(ring, linear);
    const convolution = packed!(spec);
    words[Symbol.dispose]();
    bias?.[Symbol.dispose]();
    return convolution;
  };
  const sliced = packed();
  assertEquals([sliced instanceof Convolution, packed() === sliced], [false, true]);
  threads.workers[0][Symbol.dispose]();
  assertThrows(() => sliced.run(0, 0), Error, "is lost");
  const whole = packed();
  assertEquals([whole instanceof Convolution, packed() === whole], [true, true]);
});
