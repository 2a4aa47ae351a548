/** From a network to the steps of its private inference. */
import type { Activation, Graph } from "../models/graph.ts";
import { auditedLayers, checkRanges, logitRange, type Ranges } from "../models/ranges.ts";
import { inUnit, unitsOf } from "../models/unit.ts";
import {
  type ActivationProtocol,
  type ActivationStep,
  type LinearProtocol,
  local,
  type ProtocolStep,
} from "../protocols/protocol.ts";
import { activationProtocol, linearProtocol } from "../protocols/registry.ts";
import { maxPool } from "../protocols/steps/max_pool.ts";
import { opening } from "../protocols/steps/opening.ts";
import { remask } from "../protocols/steps/remask.ts";
import { addHalves, sumWindows, windowWords } from "../wires/halves.ts";
import { sharedWire, valueBits, type Wire } from "../wires/wire.ts";
import { type Layer, type LayerOf, type Layers, layersOf } from "./layers.ts";
import { describeAll, describeStep, MAX_NODES, type Plan, type PlanOptions, type Step } from "./plan.ts";
import { chooseScales, poolingBits, type Scales } from "./scales.ts";

/** Numbers that a value of a query may have, all images together: those of the largest layer that `--elements` offers. */
const MOST_WORDS = 2 ** 24;

/** What the steps of all layers are planned from. */
interface Planning {
  readonly graph: Graph;
  readonly options: PlanOptions;
  readonly layers: Layers;
  readonly batch: number;
  readonly protocol: ActivationProtocol;
  readonly linear: LinearProtocol;
  readonly units: ReadonlyMap<string, number>;
  readonly scales: Scales;
  readonly functionOf: (node: string) => Activation;
}

/** Plans a private inference of `graph`, whose batch norms are folded. Throws a RangeError where the network does not fit the protocols. */
export function planInference(graph: Graph, options: PlanOptions): Plan {
  const protocol = activationProtocol(options.activation), linear = linearProtocol(options.linear);
  checkTaken(protocol, options);
  if (options.ranges) checkRanges(graph, options.ranges);
  checkNodes(graph);
  const layers = layersOf(graph), { batch = 1 } = options;
  checkBatch(graph.name, layers, batch);
  const unit = protocol.unitOf?.(options.function) ?? 1, units = unitsOf(graph, unit);
  const functionOf = (node: string) => {
    const f = protocol.computes ?? options.functions?.[node] ?? options.function;
    return f.kind === "trigonometric" && unit !== 1 ? inUnit(f, unit) : f;
  };
  const scales = chooseScales(protocol.scaling, {
    ...options,
    ...(options.ranges && { ranges: rangesInUnits(graph, options.ranges, units) }),
    logitRange: logitRange(graph, options.ranges),
    name: graph.name,
    layers,
    functionOf,
  });
  const draft = new Draft({ graph, options, layers, batch, protocol, linear, units, scales, functionOf });
  for (const layer of layers.list) draft.addLayer(layer);
  return draft.finish();
}

/** Throws a RangeError where the protocol would ignore an option. */
function checkTaken(protocol: ActivationProtocol, options: PlanOptions): void {
  for (const option of ["fractionBits", "ringBits", "angleBits"] as const) {
    if (options[option] === undefined || protocol.takes.includes(option)) continue;
    throw new RangeError(
      `${protocol.name} takes no ${option}: leave it out, or choose another activation protocol`,
    );
  }
}

/** Throws a RangeError where labels would run out. */
function checkNodes({ name, nodes }: Graph): void {
  if (nodes.length < MAX_NODES) return;
  throw new RangeError(
    `${name}: ${nodes.length} nodes, but the tags of messages have room for fewer than ${MAX_NODES}; use a smaller network`,
  );
}

/** Throws a RangeError where a value of all images together would be too large. */
function checkBatch(name: string, { lengths }: Layers, batch: number): void {
  if (!Number.isInteger(batch) || batch < 1) {
    throw new RangeError(`${name}: a query has one image or more, not ${batch}`);
  }
  const [id, length] = [...lengths].reduce((a, b) => b[1] > a[1] ? b : a);
  if (batch * length <= MOST_WORDS) return;
  throw new RangeError(
    `${name}: ${id} has ${length} numbers an image, ${batch * length} in a batch of ${batch}, ` +
      `more than the ${MOST_WORDS} of one query; use a smaller batch or a smaller network`,
  );
}

/** In the order of the audit, whatever that of `ranges` is. */
const rangesInUnits = (graph: Graph, ranges: Ranges, units: ReadonlyMap<string, number>): Ranges =>
  Object.fromEntries(auditedLayers(graph).map(({ id }) => [id, ranges[id] / units.get(id)!]));

/** A sum over windows, on shares; the division is in the scale, and its rest is a factor of the weights that read it. */
function averagePool(layer: LayerOf<"averagePool">, input: Wire): ProtocolStep {
  const bits = poolingBits(layer), words = windowWords(layer.windows, input.words);
  const output: Wire = {
    ...input,
    words,
    fractionBits: input.fractionBits + bits,
    factor: 2 ** bits / layer.windows.kernel ** 2,
    mask: null,
  };
  return local(output, ([x]) => sumWindows(x, layer.windows, output));
}

function sum(name: string, ids: readonly string[], wires: readonly Wire[]): ProtocolStep {
  const [coarse, fine] = wires[1].fractionBits < wires[0].fractionBits ? [1, 0] : [0, 1];
  // Else the extra bits of the sum would not be empty, and what a client sends early would show some of its words.
  if (valueBits(wires[fine]) < valueBits(wires[coarse])) {
    throw new RangeError(`${name}: the scales of ${ids[coarse]} and ${ids[fine]} do not fit in a sum`);
  }
  const output: Wire = {
    ...wires[fine],
    clientLate: wires.some(({ clientLate }) => clientLate),
    mask: null,
  };
  return local(output, (halves) => addHalves(halves, wires, output));
}

/** Steps as they are added. */
class Draft {
  readonly #activations = new Map<string, ActivationStep>();
  readonly #functions = new Map<string, Activation>();
  readonly #weightBits = new Map<string, number>();
  readonly #wires = new Map<string, Wire>();
  /** By value: its re-masked form, where a step of its own made it. */
  readonly #masked = new Map<string, string>();
  readonly #steps: Omit<Step, "lastUses">[] = [];

  constructor(private readonly planning: Planning) {
    const { layers: { input, lengths }, batch, scales: { width, ringBits, imageBits } } = planning;
    this.#wires.set(input, sharedWire(batch * lengths.get(input)!, width, ringBits, imageBits));
  }

  addLayer(layer: Layer): void {
    // Only weights can take up what an average over a window of another size than a power of two leaves.
    if (layer.kind !== "linear") { for (const id of layer.reads) this.#checkFactor(id, layer.writes[0]); }
    const reads = this.#readsMasked(layer) ? layer.reads.map((id) => this.#remasked(id)) : layer.reads;
    this.#add(layer.kind, reads, layer.writes, this.#stepOf(layer, reads.map(this.#wire)));
  }

  #wire = (id: string): Wire => this.#wires.get(id)!;

  /** Whether a layer reads re-masked values. */
  #readsMasked({ kind, reads: [input] }: Layer): boolean {
    const { protocol, linear } = this.planning;
    // Whose part the client must know before the image; the image itself and what no linear layer reads masked are shared otherwise.
    const isLate = kind === "activation" && protocol.readsEarly === true && this.#wire(input).clientLate;
    return linear.readsMasked && (kind === "linear" || isLate);
  }

  /** The step of a layer, from the values that it reads. */
  #stepOf(layer: Layer, wires: readonly Wire[]): ProtocolStep {
    const { graph, options, layers, protocol, linear, scales, functionOf } = this.planning;
    const name = `${graph.name}: ${layer.writes.join(" + ")}`, [input] = wires, [id] = layer.writes;
    switch (layer.kind) {
      case "linear": {
        const group = layer.specs.map((spec, i) => {
          const node = layer.writes[i], weightBits = scales.weightBits(node, input);
          this.#weightBits.set(node, weightBits);
          return { name: node, spec, weightBits };
        });
        return linear.plan({ name, input, layers: group });
      }
      case "activation": {
        const f = functionOf(id);
        const step = protocol.plan({
          name,
          input,
          function: f,
          outputBits: scales.outputBits(id),
          angleBits: options.angleBits,
          remask: layers.list.some(({ kind, reads }) => reads.includes(id) && kind !== "averagePool"),
        });
        this.#activations.set(id, step);
        this.#functions.set(id, f);
        return step;
      }
      case "maxPool":
        return maxPool(name, input, layer.windows, scales.outputBits(id));
      case "averagePool":
        return averagePool(layer, input);
      case "add":
        return sum(graph.name, layer.reads, wires);
    }
  }

  /** The value in re-masked form, by a step of its own where no step before has made it so. */
  #remasked(id: string): string {
    if (this.#wire(id).mask !== null) return id;
    const made = this.#masked.get(id) ??
      this.#add("re-masking", [id], [`${id} re-masked`], remask(this.#wire(id)));
    this.#masked.set(id, made);
    return made;
  }

  #checkFactor(input: string, reader: string): void {
    if (this.#wire(input).factor === 1) return;
    throw new RangeError(
      `${this.planning.graph.name}: the average pooling ${input} over a window whose size is no power of two must feed a linear layer, not ${reader}`,
    );
  }

  /** Returns the first value that the step makes. */
  #add(kind: Step["kind"], reads: readonly string[], writes: readonly string[], step: ProtocolStep): string {
    const { graph: { name }, layers: { lengths }, batch } = this.planning;
    writes.forEach((id, i) => {
      const wire = step.outputs[i], known = lengths.get(id);
      if (this.#wires.has(id)) throw new RangeError(`${name}: two steps make ${id}`);
      const length = known === undefined ? wire.words : batch * known;
      if (wire.words !== length) {
        throw new RangeError(`${name}: ${id} has ${length} numbers, its step makes ${wire.words}`);
      }
      this.#wires.set(id, wire);
    });
    const label = this.#labelOf(kind, reads[0], writes[0]);
    this.#steps.push({ ...step, kind, index: this.#steps.length, label, reads, writes });
    return writes[0];
  }

  /** The place of a node in the graph: one more step in a plan changes no other's random stream. */
  #labelOf(kind: Step["kind"], read: string, write: string): number {
    const placeOf = (id: string) => this.planning.graph.nodes.findIndex((node) => node.id === id);
    if (kind === "opening") return 2 * MAX_NODES;
    return kind === "re-masking" ? MAX_NODES + placeOf(read) : placeOf(write);
  }

  /** Opens the logits. */
  finish(): Plan {
    const { graph, options, layers, batch, protocol, linear, units, scales } = this.planning;
    const { input, output } = layers, opened = `${output} opened`, last = new Map<string, number>();
    this.#checkFactor(output, "the logits");
    const logits = this.#wire(output);
    this.#add("opening", [output], [opened], opening(logits, scales.openedBits(logits)));
    for (const { reads, index } of this.#steps) for (const id of reads) last.set(id, index);
    const steps = this.#steps.map((step) => ({
      ...step,
      lastUses: [...last].filter(([, at]) => at === step.index).map(([id]) => id),
    }));
    const labels = new Map<number, Step>();
    for (const step of steps) {
      // One label is one random stream: masks of two steps would be the same.
      const other = labels.get(step.label);
      if (other) {
        throw new RangeError(
          `${graph.name}: ${describeStep(other)} and ${describeStep(step)} have one label`,
        );
      }
      labels.set(step.label, step);
      for (const correlation of step.query) {
        const reason = options.refuses?.(correlation) ?? null;
        if (reason === null) continue;
        throw new RangeError(
          `${graph.name}: ${
            describeStep(step)
          } needs ${correlation.name}, which this source of correlations cannot make: ${reason}`,
        );
      }
    }
    const chosen = [protocol.name, linear.name, scales.basis];
    return {
      graph,
      options,
      steps,
      wires: this.#wires,
      activations: this.#activations,
      functions: this.#functions,
      units,
      weightBits: this.#weightBits,
      input,
      output,
      opened,
      batch,
      basis: [...chosen, graph.nodes, graph.inputShape, graph.classes, steps.map(describeAll)],
    };
  }
}
