import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { loadConvolutionModules } from "../training/convolution.ts";
import { placeConvolution } from "./timed_convolution.ts";
import { Gauge } from "./kernel_gauge.ts";

it("Gauge adds up the readings of its threads until they are taken", async () => {
  const gauge = await Gauge.open(2);
  try {
    await gauge.read(5);
    await gauge.read(5);
    const gflops = gauge.take();
    assert(gflops > 0 && gflops < 1000, `${gflops} GFLOP/s`);
    assertEquals(gauge.take(), NaN, "a reading was counted twice");
  } finally {
    gauge.close();
  }
});

it("placeConvolution() counts the operations of the direct method, whichever it takes", async () => {
  const modules = await loadConvolutionModules();
  const shape = { batch: 2, height: 8, width: 8, inputs: 8, outputs: 16, kernel: 3, stride: 1, padding: 1 };
  const fast = placeConvolution(modules, shape),
    direct = placeConvolution(modules, shape, { winograd: false });
  assertEquals([fast.method, direct.method], ["winograd", "direct"]);
  assertEquals([fast.operations, direct.operations], Array(2).fill(2 * 2 * 8 * 8 * 9 * 8 * 16));
  for (const { forward, inputGradient, weightGradient } of [fast, direct]) {
    forward();
    inputGradient();
    weightGradient();
  }
});
