import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { foldGraph } from "../models/fold.ts";
import { fittedWave } from "../models/trigonometric.ts";
import { buildModel } from "../models/zoo.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { UsageError } from "../terminal/command.ts";
import { formatFunctions, functionArguments, functionsFrom, trainedFunctions } from "./function_options.ts";

const graph = foldGraph(buildModel("convnet"));

it("functions go through options and come back, for all layers or for each", () => {
  const f = fittedWave(10, 2, 1.5), [a, b, c] = [1, 2, 0.1].map((s) => fittedWave(10, 2, s));
  for (
    const [activation, functions] of [
      ["lifted", { function: QUARTIC }],
      ["trigonometric", { function: f }],
      ["trigonometric", { function: a, functions: { act1: a, act2: b, act3: c } }],
      ["relu", { function: { kind: "relu" } as const }],
    ] as const
  ) {
    assertEquals(functionsFrom(graph, activation, formatFunctions(graph, functions)), functions);
  }
  assertEquals(functionArguments(formatFunctions(graph, { function: QUARTIC })), [
    "--polynomial=322,512,160,0,-3/10",
  ]);
});

it("without options a protocol computes its usual function, and weights say theirs to what computes it", () => {
  assertEquals(functionsFrom(graph, "espn", {}), { function: QUARTIC });
  assertEquals(functionsFrom(graph, "trigonometric", {}), { function: fittedWave(8, 1, 1) });
  const learned = fittedWave(10, 1, 1, true);
  const weights = new Map(
    ["act1", "act2", "act3"].map((id, i) =>
      [`${id}.fourier`, { shape: [2], data: Float32Array.of(i, -0.5) }] as const
    ),
  );
  assertEquals(trainedFunctions(graph, "trigonometric", learned, weights), {
    wave: "10:0,-0.5/1,-0.5/2,-0.5",
  });
  assertEquals(trainedFunctions(graph, "lifted", learned, weights), {});
  assertEquals(trainedFunctions(graph, "relu", { kind: "relu" }, new Map()), {});
});

it("an option that the protocol would not use is refused by one sentence, and so is one for other layers", () => {
  for (
    const [activation, values, message] of [
      ["lifted", { wave: "8:1,-0.8" }, "--wave belongs to trigonometric, not to lifted"],
      [
        "trigonometric",
        { polynomial: "1,2,3/1" },
        "--polynomial belongs to tree, honeybadger, espn, lifted, not to trigonometric",
      ],
      ["relu", { polynomial: "1,2,3/1" }, "not to relu"],
      ["espn", { polynomial: "7,0,0/1" }, "which is constant"],
      ["trigonometric", { wave: "0:1,2" }, "whose period is not positive"],
      [
        "trigonometric",
        { wave: "8:1,2/1,2" },
        "--wave has numbers for 2 layers, but convnet has 3 activations",
      ],
    ] as const
  ) {
    assertThrows(() => functionsFrom(graph, activation, values), UsageError, message);
  }
});
