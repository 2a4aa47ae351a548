/** `deno task explain`: where a private inference departs from plaintext, layer by layer, and why. */
import { explain } from "../inference/explain.ts";
import { foldBatchNorm } from "../models/fold.ts";
import { Ring } from "../ring/ring.ts";
import { runCommand } from "../terminal/command.ts";
import {
  ACTIVATION_OPTION,
  INFER_OPTIONS,
  NETWORK_OPTION,
  PLAN_OPTIONS,
} from "../options/inference_options.ts";
import { networkAndPlan, plainNetwork, withDefaults } from "../options/network_and_plan.ts";
import { imagesFrom, pixelsOf } from "../options/query_images.ts";
import { formatTable } from "../terminal/table.ts";

const { weights, modelSeed, image, drawn, seed, json } = INFER_OPTIONS;
// Images of a batch go through the same layers, each by itself: one is enough to explain.
const { batch: _, ...plan } = PLAN_OPTIONS;

await runCommand({
  name: "explain",
  summary: "compare a private inference with plaintext layer by layer and name the first layer that departs",
  notes: "A debugging run: it opens every intermediate value, so all parties run in one process. " +
    "Never run it on an image or a network that must stay private.",
  options: {
    ...plan,
    model: NETWORK_OPTION,
    activation: ACTIVATION_OPTION,
    weights,
    modelSeed,
    image,
    drawn,
    seed,
    json,
  },
  async run(given) {
    const options = await withDefaults(given);
    const { model, plan } = await networkAndPlan(options);
    const { images: [shown], note } = await imagesFrom(options, {
      ...model,
      pixels: pixelsOf(model, model.graph, options.graph),
    });
    const { weights, activation } = plainNetwork(plan, foldBatchNorm(model.graph, model.weights).weights);
    const explanation = await explain(await Ring.open(), plan, weights, activation, shown);
    if (options.json) {
      return void console.log(
        JSON.stringify({ model: plan.graph.name, note, ...plan.options, ...explanation }),
      );
    }

    console.log("This run opens every intermediate value; it protects nothing.\n");
    if (note !== null) console.log(`${note}\n`);
    const small = (value: number) => value === 0 ? "0" : value.toExponential(1);
    console.log(formatTable(
      explanation.layers.map((
        { id, kind, values, fractionBits, range, fromFixed, fromFloat, added, nearWrap, departs },
      ) => ({
        layer: id,
        kind,
        values,
        bits: fractionBits,
        range: range.toPrecision(3),
        "max from fixed": fromFixed === null ? "-" : small(fromFixed.max),
        mean: fromFixed === null ? "-" : small(fromFixed.mean),
        "max from float": small(fromFloat.max),
        "mean ": small(fromFloat.mean),
        ...(added === null ? {} : {
          added: small(added.max),
          bound: small(added.bound),
        }),
        "near wrap": nearWrap === 0 ? "0" : `${(100 * nearWrap).toPrecision(2)} %`,
        "": [departs === null ? "" : "departs", added?.within === false ? "beyond its bound" : ""].join(" ")
          .trim(),
      })),
    ));
    if (explanation.fixedEngineStopped !== null) {
      console.log(`\nThe fixed-point engine stopped: ${explanation.fixedEngineStopped}`);
    }
    console.log(
      explanation.first === null
        ? "\nNo layer departs from the float engine by more than 2 % of its range."
        : `\nThe first layer that departs is ${explanation.first.id}: ${explanation.first.departs}.`,
    );
  },
});
