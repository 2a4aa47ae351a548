/** The accuracy of shipped networks, and over time, on hand-made rows: which cells there are, who is compared with whom, what is drawn. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ACTIVATION_PROTOCOLS } from "../mod.ts";
import { renderSvg } from "../src/report/charts.ts";
import type { Experiment } from "../src/reproduction/experiment.ts";
import { writeFolder } from "../tests/support/model_folders.ts";
import { asRead, draw, lineSeries, reference } from "./_hand_made_rows.ts";
import {
  fittedRangeOf,
  kindOf,
  methodOf,
  protocolsOf,
  recipeDigest,
  reluTwinOf,
  type ShippedModel,
} from "./_models.ts";
import { accuracyOverTime } from "./accuracy_over_time.ts";
import { accuracyTable, cellsOf, classificationRow, describeDepartures } from "./accuracy_table.ts";

describe("accuracy_table", () => {
  const share = (percent: number) => ({ percent, low: percent - 9, high: percent + 5 });
  const classification = {
    images: 4,
    classes: [0, 1, null, 1],
    plaintextClasses: [0, 0, 1, 1],
    agree: 2,
    departures: [{ image: 1, private: 1, plaintext: 0, gap: 0.125 }, {
      image: 2,
      private: null,
      plaintext: 1,
      gap: 3,
    }],
    accuracy: { private: share(50), plaintext: share(75) },
    imagesPerSecond: 100,
  };
  it("has the accuracies of a private run, its agreement, and images that have no class", () => {
    assertEquals(classificationRow(classification), {
      private_images: 4,
      plaintext_same_accuracy: 75,
      private_accuracy: 50,
      private_low: 41,
      private_high: 55,
      agreement: 50,
      unreliable: 1,
    });
  });
  it("asks the network of few delays about images with their mirror images too, at full size alone", () => {
    const all = ["convnet", "roundnet"].map((model) => ({
      ...{ ...shipped(model, "trig:10:1:1.5"), model, folder: `results/models/${model}-trig-s1` },
    }));
    const ids = (size: "quick" | "full") => cellsOf(all, size).map(({ id }) => id);
    const once = ["convnet trigonometric", "roundnet trigonometric"];
    assertEquals(ids("full"), [...once, "roundnet trigonometric mirrored"]);
    assert(ids("quick").every((id) => !id.endsWith(" mirrored")));
  });
  it("lacks weights that do not ship and images that are not there, and names the commands that make or get them", async () => {
    const folder = await Deno.makeTempDir();
    try {
      await writeFolder(folder);
      const there = { ...shipped("there", "relu"), folder, dataset: "shapes" };
      const all = [there, { ...there, name: "blind", dataset: "no images of this name" }];
      await Deno.mkdir(`${folder}/absent`);
      await Deno.writeTextFile(`${folder}/absent/model.json`, JSON.stringify({ ranges: [1, 2] }));
      const absent = { ...shipped("absent", "trig:10:1:1.5"), folder: `${folder}/absent` };
      assertEquals(cellsOf([...all, absent], "full").map(({ lacks }) => lacks), [
        undefined,
        "the test images of no images of this name are not in data/; this gets them: deno task data --get no images of this name",
        `the weights of ${absent.folder} are not there; this makes them: deno task train --repeat ${absent.folder} --out runs/absent ` +
        `&& deno task publish --weights runs/absent && deno task audit --weights ${absent.folder} --dataset cifar10 --write`,
      ]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });

  it("says of images that depart how close the call was and how far inputs went, and counts the rest", async () => {
    const folder = await Deno.makeTempDir();
    try {
      await writeFolder(folder);
      const shapes = { folder, dataset: "shapes" };
      assertEquals(await describeDepartures(shapes, { departures: [] }), "none");
      const [first, second, ...others] = (await describeDepartures(shapes, classification)).split("; ");
      assertMatch(first, /^image 1: 1 for 0, gap 0\.13, input \d+\.\d+$/);
      assertMatch(second, /^image 2: none for 1, gap 3\.0, input \d+\.\d+$/);
      assertEquals(others, []);
      const [departure] = classification.departures;
      const text = await describeDepartures(shapes, { departures: new Array(10).fill(departure) });
      assertMatch(text, /; 2 more$/);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });

  const run = (settings: object) => ({ run: { momentum: 0.9, ...settings } });
  const shipped = (name: string, activation: string, settings: object = {}): ShippedModel => ({
    ...{ folder: `results/models/${name}`, name, model: "convnet", dataset: "cifar10", activation },
    ...{ epochs: 60, trainingSeed: 1 },
    ...run({ activation, seed: 1, ...settings }),
  });
  it("compares with the ReLU network whose other settings differ least, and knows runs of one recipe", async () => {
    const own = shipped("trig", "trig:10:1:2", { nesterov: true });
    const twins = [shipped("old", "relu"), shipped("new", "relu", { nesterov: true })];
    assertEquals(reluTwinOf(own, twins)!.name, "new");
    assertEquals(
      reluTwinOf(own, [{ ...twins[0], trainingSeed: 2 }, { ...twins[0], epochs: 30 }]),
      undefined,
    );
    const digest = (settings: object) => recipeDigest(shipped("one", "relu", settings));
    assertEquals(await digest({ seed: 2 }), await digest({}));
    assertNotEquals(await digest({ momentum: 0.8 }), await digest({}));
    // A folder from before a setting existed, and one that says that it is not used.
    assertEquals(await digest({ cutout: null, twin: null }), await digest({}));
    const taught = (sha: string) => ({ twin: sha, distillation: { teacher: sha, weight: 0.5 } });
    assertEquals(await digest(taught("ab")), await digest(taught("cd")));
    assertNotEquals(await digest(taught("ab")), await digest({}));
  });
  it("knows what an activation is, which protocols compute it, and where it is what it was made for", () => {
    const found = ["relu", "gelu:4:10", "hermite", "trig:16:2:1", "sigmoid:exact"].map((activation) => [
      kindOf(activation),
      protocolsOf(activation).at(0),
      fittedRangeOf(activation),
    ]);
    const wave = ACTIVATION_PROTOCOLS.find(({ name }) => name === "trigonometric")?.name;
    assertEquals(found, [
      ["relu", "relu", null],
      ["polynomial", "lifted", 5],
      ["polynomial", "lifted", null],
      ["trigonometric", wave, 8],
      [undefined, undefined, null],
    ]);
    assertEquals(
      [shipped("a", "relu"), shipped("b", "poly:4:10", { penalty: { reduction: "sum" } })].map(methodOf),
      ["ReLU", "polynomial, PILLAR"],
    );
  });

  const row = (method: string, protocol: string, seed: number, accuracy: number, more: object = {}) => ({
    weights: `results/models/convnet-${protocol}-${seed}`,
    ...{ model: "convnet", dataset: "cifar10", activation: protocol, method, protocol, epochs: 60 },
    ...{ recipe: `of ${protocol}`, training_seed: seed, test_images: 10_000, plaintext_accuracy: accuracy },
    ...{ plaintext_low: accuracy - 0.9, plaintext_high: accuracy + 0.9, largest_input: 9, one_way_delays: 8 },
    ...{ private_images: 500, plaintext_same_accuracy: 71, private_accuracy: 70 + seed, private_low: 66.7 },
    ...{
      private_high: 74.6,
      agreement: 99.8,
      largest_difference: 0.001,
      size: "full",
      audited: true,
      ...more,
    },
  });
  const ROWS = asRead(accuracyTable, [
    row("ReLU", "relu", 1, 70, { one_way_delays: 32 }),
    row("polynomial, hinge", "lifted", 1, 69, { relu_difference: -1 }),
    row("polynomial, hinge", "lifted", 2, 71, { relu_difference: 0.5 }),
    row("polynomial, hinge", "honeybadger", 1, 69),
    row("polynomial, PILLAR", "lifted", 1, 65, {
      ...{ recipe: "of PILLAR", weights: "results/models/pillar", audited: false },
    }),
  ]);
  it("draws private accuracy beside plaintext, runs of one recipe together, and the paper's rows apart", () => {
    const [chart] = draw(accuracyTable, ROWS);
    assert(chart.kind === "bars");
    assertEquals(chart.categories, [
      "convnet\nrelu",
      "convnet\nlifted\n2 seeds",
      "convnet\nhoneybadger",
      "pillar",
    ]);
    const lifted = chart.series.find(({ name }) => name === "lifted")!;
    assertEquals(lifted.values, [null, { value: 71.5, runs: [71, 72] }, null, {
      value: 71,
      low: 66.7,
      high: 74.6,
    }]);
    assertEquals(lifted.marks, [null, 71, null, 71]);
    const table = accuracyTable.table!(ROWS, reference);
    assertEquals(table.map(({ seeds }) => seeds), [1, 2, 1, 1, undefined, undefined, undefined]);
    const untrained = table.at(-3)!;
    assertEquals(untrained["method"], "not trained here");
    assertMatch(`${untrained["network"]}`, /minionn-bn, .*resnet18/);
    assertStringIncludes(chart.see!, "bars end within 1.00 points (convnet-lifted by lifted, 500 images)");
    assertStringIncludes(chart.see!, "which the audit refuses, within 0.00 points (pillar by lifted");
    assertEquals([table[1]["above ReLU"], table[1]["runs"], table[0]["above ReLU"]], [
      -0.25,
      "69.0 to 71.0",
      null,
    ]);
    assertEquals(table.slice(-2).map((one) => [one["network"], one["paper"]]), [
      ["resnet50, ImageNet", "77.7 %, private 77.3 % (a third party's notes)"],
      ["resnet50, ImageNet", "80.8 % (a third party's notes)"],
    ]);
  });
  it("gives accuracy over time: a mark a network and method, the best recipe, and who is on the front", () => {
    const latency = [{
      ...{
        model: "convnet",
        classes: "10",
        activation: "relu",
        linear: "masked",
        profile: "wan",
        online_ms: "1620",
      },
      ...{ size: "quick", commit: "abc" },
    }];
    const rows = accuracyOverTime.rows((key) => key === "accuracy_table" ? ROWS : latency, reference);
    const read = asRead(accuracyOverTime as unknown as Experiment, rows);
    assertEquals(
      read.map((one) =>
        ["method", "seeds", "accuracy", "wan_s", "time_from", "shown", "pareto"].map((c) => one[c])
      ),
      [
        ["ReLU", "1", "70", "1.62", "measured", "true", "false"],
        ["polynomial, hinge", "2", "70", "0.4", "delays alone", "true", "true"],
        ["polynomial, PILLAR", "1", "65", "0.4", "delays alone", "true", "false"],
      ],
    );
    assertEquals(read[0]["commit"], "; abc");
    const [chart] = accuracyOverTime.figures(read, reference);
    assertStringIncludes(renderSvg(chart), "<svg");
    assertEquals(lineSeries(chart, "polynomial, hinge")!.points, [
      { x: 0.4, y: 70, runs: [69, 71], label: "ConvNet" },
    ]);
    assertEquals(lineSeries(chart, "ReLU")!.points[0].label, "ConvNet");
    assertEquals(lineSeries(chart, "polynomial, PILLAR")!.points[0].label, undefined);
    assertStringIncludes(
      chart.caption,
      "without computing: ConvNet with polynomial, hinge, ConvNet with polynomial, PILLAR.",
    );
  });
  it("shows of several recipes one that the audit accepts, then the one with most trainings", () => {
    const shown = (...recipes: readonly object[]) => {
      const given = recipes.flatMap((more) =>
        asRead(accuracyTable, [row("trigonometric", "trigonometric", 1, 70, more)])
      );
      const rows = accuracyOverTime.rows((key) => key === "accuracy_table" ? given : [], reference);
      return rows.filter((one) => one["shown"]).map((one) => one["recipe"]);
    };
    const once = { recipe: "once", plaintext_accuracy: 74 },
      twice = [1, 2].map((seed) => ({ recipe: "twice", training_seed: seed, plaintext_accuracy: 73 }));
    assertEquals(shown(once, ...twice), ["twice"]);
    assertEquals(shown(once, ...twice.map((more) => ({ ...more, audited: false }))), ["once"]);
    assertEquals(shown(once, { recipe: "better", plaintext_accuracy: 75 }), ["better"]);
  });
  it("draws steps along the front, up and to the right", () => {
    const shown = (model: string, accuracy: number, wan_s: number, pareto: boolean) => ({
      ...{
        model,
        method: "ReLU",
        accuracy,
        accuracies: accuracy,
        low: 1,
        high: 99,
        wan_s,
        pareto,
        shown: true,
      },
      time_from: "measured",
    });
    const rows = asRead(accuracyOverTime as unknown as Experiment, [
      shown("resnet18", 93, 8, true),
      shown("convnet", 70, 0.4, true),
      shown("convnet", 69, 1.6, false),
    ]);
    const [chart] = accuracyOverTime.figures(rows, reference);
    assertEquals(lineSeries(chart, "Pareto front")!.points, [{ x: 0.4, y: 70 }, { x: 8, y: 70 }, {
      x: 8,
      y: 93,
    }]);
  });
});
