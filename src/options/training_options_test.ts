import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { presetOf } from "../training/presets.ts";
import { parseCommand, UsageError } from "../terminal/command.ts";
import { RECIPE_OPTIONS, recipeFrom } from "./training_options.ts";

function recipe(...args: string[]) {
  const values = parseCommand({ name: "train", options: RECIPE_OPTIONS }, args);
  if (values === "help") throw new Error("help was not asked for");
  return recipeFrom(values);
}

it("recipeFrom() is the preset where nothing else is said", () => {
  assertEquals(recipe("--preset=convnet-pillar"), presetOf("convnet-pillar"));
  assertEquals(recipe("--model=resnet20"), presetOf("resnet20-pillar-cpu"));
});

it("recipeFrom() lets options replace single fields", () => {
  const preset = presetOf("convnet-pillar");
  assertEquals(
    recipe(..."--preset=convnet-pillar --epochs=9 --lr=0.5 --beta=1e-3 --penalty-reduction=mean".split(" ")),
    {
      ...preset,
      epochs: 9,
      learningRate: 0.5,
      penalty: { ...preset.penalty!, coefficient: 1e-3, reduction: "mean" },
    },
  );
  assertEquals(recipe("--preset=convnet-pillar", "--clip=off", "--beta=off"), {
    ...preset,
    clip: null,
    penalty: null,
  });
  assertEquals(recipe("--preset=convnet-pillar", "--warm-up=1", "--warm-up-from=0.2").warmUp, {
    epochs: 1,
    from: 0.2,
  });
});

it("recipeFrom() turns each further rule on and off", () => {
  const preset = presetOf("convnet-pillar");
  const all = recipe(
    ..."--preset=convnet-pillar --schedule=linear --nesterov=on --decay-norms=off --decay-biases=off --flip=alternating"
      .split(" "),
    ..."--warm-up=2.5 --tail-average=0.25 --whitening=on --muon=0.02 --cutout=8 --scale-cap=1.25 --replacement=1.5 --penalty-reduction=hinge"
      .split(" "),
  );
  assertEquals(all, {
    ...preset,
    ...{ schedule: "linear", nesterov: true, decayNorms: false, decayBiases: false, tailAverage: 0.25 },
    ...{
      whitening: true,
      muon: 0.02,
      cutout: 8,
      scaleCap: 1.25,
      replacement: 1.5,
      warmUp: { ...preset.warmUp, epochs: 2.5 },
    },
    augment: { crop: 4, flip: "alternating" },
    penalty: { ...preset.penalty!, reduction: "hinge" },
  });
  assertEquals(recipe("--preset=convnet-pillar", "--flip=off", "--tail-average=off").augment.flip, false);
  assertEquals(recipe("--model=resnet20", "--zero-residual=on").zeroResidual, true);
  assertThrows(() => recipe("--model=convnet", "--zero-residual=on"), UsageError, "has no residual blocks");
  assertThrows(() => recipe("--model=minionn", "--scale-cap=1"), UsageError, "no batch norm right before");
  // The network of squares that is trained in its place has none.
  assertThrows(
    () => recipe("--model=convnet", "--activation=hermite", "--clip=off", "--beta=off", "--scale-cap=1"),
    UsageError,
    "no batch norm right before",
  );
  for (const option of ["clip", "scale-cap", "gradient-norm"]) {
    assertThrows(() => recipe("--model=convnet", `--${option}=0`), UsageError, "accepts bounds above 0");
  }
  assertThrows(
    () => recipe("--model=convnet", "--clip=1e999"),
    UsageError,
    "beyond the numbers that there are",
  );
  assertThrows(() => recipe("--model=convnet", "--tail-average=2"), UsageError, "parts up to 1");
  assertThrows(() => recipe("--model=convnet", "--cutout=0"), UsageError, "whole pixels from 1 on");
  assertThrows(() => recipe("--model=convnet", "--replacement=0"), UsageError, "epochs above 0");
  const late = ["--preset=convnet-pillar", "--epochs=2", "--replacement=3"];
  assertThrows(() => recipe(...late), UsageError, "--replacement of 3 epochs does not end within 2");
  const relu = ["--preset=convnet-relu", "--replacement=2"];
  assertThrows(() => recipe(...relu), UsageError, "goes with a polynomial, not with relu");
  const moving = ["--preset=imagenet-resnet50-pillar", "--tail-average=0.3"];
  assertThrows(() => recipe(...moving), UsageError, "a moving average already");
});

it("recipeFrom() refuses an activation that does not fit the network", () => {
  const { activation, clip, penalty } = recipe("--model=convnet", "--activation=hermite");
  assertEquals([activation, clip, penalty], ["hermite", null, null]);
  assertThrows(
    () => recipe("--preset=resnet20-pillar-cpu", "--activation=hermite"),
    RangeError,
    "in resnet20 stage1.block1.conv1 pads act1 with zeros",
  );
});

it("recipeFrom() trains ReLU without clip and penalty unless they are asked for", () => {
  assertEquals(recipe("--preset=convnet-pillar", "--activation=relu"), presetOf("convnet-relu"));
  const { clip, penalty } = recipe("--preset=convnet-relu", "--clip=4", "--beta=1e-4");
  assertEquals([clip, penalty?.coefficient, penalty?.range], [4, 1e-4, 4.8]);
});

it("recipeFrom() answers mistakes in one sentence", () => {
  for (
    const [args, sentence] of [
      [["--preset=convnet-piller"], 'unknown preset "convnet-piller"; presets: '],
      [["--dataset=shapes"], "--preset, --model or --from is needed"],
      [["--model=convnet", "--activation=cubic"], 'unknown activation "cubic"'],
      [["--model=convnet", "--activation=relu", "--penalty-range=4"], "the penalty is off"],
      [["--model=convnet", "--penalty-exponent=5"], "accepts even numbers"],
      [
        ["--model=resnet50", "--activation=trig:8:1:1"],
        "in a network with max pooling (stemPool of resnet50)",
      ],
      [["--model=resnet50", "--pooling=average"], "of ours, resnet50-avg has averages"],
      [["--model=convnet", "--epochs=5", "--warm-up=5"], "--warm-up of 5 epochs leaves none of 5"],
      [["--model=minionn", "--activation=relu", "--muon=0.02"], "but none follows conv1; leave it out"],
      [["--model=resnet20", "--lr=0", "--muon=0.02"], "--muon needs --lr above 0"],
      [["--model=convnet", "--activation=hermite", "--zero-residual=on"], "do not go with hermite"],
      [["--model=convnet", "--activation=hermite", "--replacement=1"], "do not go with hermite"],
    ] as const
  ) {
    assertThrows(() => recipe(...args), Error, sentence);
  }
  assertThrows(() => recipe("--model=convnet", "--clip=-1"), UsageError, "accepts a number or off");
});

it("recipeFrom() shortens the warm-up of a preset whose epochs are cut down to it, and no other", () => {
  const warmUp = (epochs: number) => recipe("--preset=convnet-trig-cpu", `--epochs=${epochs}`).warmUp;
  assertEquals([60, 11, 10, 5].map((epochs) => warmUp(epochs).epochs), [10, 10, 2, 1]);
  assertEquals(recipe("--preset=convnet-trig-cpu", "--epochs=5", "--warm-up=2").warmUp.epochs, 2);
});
