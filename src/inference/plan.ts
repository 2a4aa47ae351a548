/**
 * From a network to the list of steps that server, client and dealer go through in the same order. Everything here is
 * public: shapes, protocols, functions, fraction bits. Weights and images are not.
 */
import { describeCorrelation, type StepCorrelations } from "../correlations/correlation.ts";
import type { Refuses } from "../correlations/source.ts";
import type { Activation, Graph } from "../models/graph.ts";
import { checkRanges, type Ranges } from "../models/ranges.ts";
import { inUnit, unitsOf } from "../models/unit.ts";
import type { ActivationStep, ProtocolStep } from "../protocols/protocol.ts";
import { activationProtocol, linearProtocol } from "../protocols/registry.ts";
import { maxPool } from "../protocols/steps/max_pool.ts";
import { opening } from "../protocols/steps/opening.ts";
import { remask } from "../protocols/steps/remask.ts";
import { addHalves, sumWindows, windowWords } from "../wires/halves.ts";
import { type Half, valueBits, type Wire } from "../wires/wire.ts";
import { type Layer, type Layers, layersOf } from "./layers.ts";
import { chooseScales, poolingBits, type Scales } from "./scales.ts";

export interface PlanOptions {
  /** Name of the activation protocol. */
  readonly activation: string;
  /** Name of the linear protocol. */
  readonly linear: string;
  /** The function of every activation layer, but of those in `functions`. A protocol that computes one function alone takes that. */
  readonly function: Activation;
  readonly functions?: Readonly<Record<string, Activation>>;
  /** Fraction bits of activations and weights, where the protocol takes them. */
  readonly fractionBits?: number;
  /** Bits of the ring of the linear layers, where the protocol takes them. */
  readonly ringBits?: number;
  /** Bits of an opened angle, where the protocol takes them. */
  readonly angleBits?: number;
  /** Images of one query, 1 if left out: every value holds the words of all of them, one after another. */
  readonly batch?: number;
  /** Audited ranges: scales in small rings follow from them, and a bound of the logits. */
  readonly ranges?: Ranges;
  /** Plan although a range leaves less than one bit of head-room. */
  readonly force?: boolean;
  /** What the source of correlations cannot make; left out for a dealer, which makes everything. */
  readonly refuses?: Refuses;
}

/** A step without a message: each half by itself. */
export interface LocalStep {
  readonly outputs: readonly Wire[];
  apply(halves: readonly Half[]): Half;
}

export interface Step extends StepCorrelations {
  readonly kind: Layer["kind"] | "re-masking" | "opening";
  /** Position in the plan. */
  readonly index: number;
  /** Values that it reads and makes; those of the network have the names of their nodes. */
  readonly reads: readonly string[];
  readonly writes: readonly string[];
  /** Values that no later step reads. */
  readonly lastUses: readonly string[];
  readonly work: LocalStep | ProtocolStep;
}

/** What a message belongs to, for error messages. */
export const describeStep = ({ index, kind, writes }: Step): string =>
  `step ${index} (${kind} ${writes.join(" + ")})`;

export interface Plan {
  readonly graph: Graph;
  readonly options: PlanOptions;
  readonly steps: readonly Step[];
  readonly wires: ReadonlyMap<string, Wire>;
  /** By node: what the protocol made of the activation. */
  readonly activations: ReadonlyMap<string, ActivationStep>;
  /** By node: the function of an activation, in the unit of its values. */
  readonly functions: ReadonlyMap<string, Activation>;
  /** By node: the unit in which its value is counted. */
  readonly units: ReadonlyMap<string, number>;
  /** By node: fraction bits of the weights. */
  readonly weightBits: ReadonlyMap<string, number>;
  /** Where the image, the shared and the opened logits are. */
  readonly input: string;
  readonly output: string;
  readonly opened: string;
  /** Images of one query; words and logits of each. */
  readonly batch: number;
  readonly inputLength: number;
  readonly classes: number;
  /** What all three roles must agree on. */
  readonly basis: unknown;
}

/** Nodes that labels can tell apart; those of re-maskings follow, and that of the opening. */
export const MAX_NODES = 4096;

/** Numbers that a value of a query may have, all images together: those of the largest layer that `--elements` offers. */
const MOST_WORDS = 2 ** 24;

/** Plans a private inference of `graph`, whose batch norms are folded. Throws a RangeError where the network does not fit the protocols. */
export function planInference(graph: Graph, options: PlanOptions): Plan {
  const protocol = activationProtocol(options.activation), linear = linearProtocol(options.linear);
  for (const option of ["fractionBits", "ringBits", "angleBits"] as const) {
    if (options[option] === undefined || protocol.takes.includes(option)) continue;
    throw new RangeError(
      `${protocol.name} takes no ${option}: leave it out, or choose another activation protocol`,
    );
  }
  if (options.ranges) checkRanges(graph, options.ranges);
  if (graph.nodes.length >= MAX_NODES) {
    throw new RangeError(
      `${graph.name}: ${graph.nodes.length} nodes, but the tags of messages have room for fewer than ${MAX_NODES}; use a smaller network`,
    );
  }
  const layers = layersOf(graph), { batch = 1 } = options;
  checkBatch(graph.name, layers, batch);
  const unit = protocol.unitOf?.(options.function) ?? 1, units = unitsOf(graph, unit);
  const functionOf = (node: string) => {
    const f = protocol.computes ?? options.functions?.[node] ?? options.function;
    return f.kind === "trigonometric" && unit !== 1 ? inUnit(f, unit) : f;
  };
  const scales = chooseScales(protocol.scaling, {
    ...options,
    ...(options.ranges && { ranges: rangesInUnits(options.ranges, units) }),
    name: graph.name,
    layers,
    functionOf,
  });
  const draft = new Draft(graph, layers, scales, units, batch), weights = draft.weightBits;

  const remasked = new Map<string, string>();
  /** The value in re-masked form, by a step of its own where no step before has made it so. */
  const masked = (id: string): string => {
    if (draft.wire(id).mask !== null) return id;
    const known = remasked.get(id);
    if (known !== undefined) return known;
    const made = draft.add("re-masking", [id], [`${id} re-masked`], remask(draft.wire(id)));
    remasked.set(id, made);
    return made;
  };
  for (const layer of layers.list) {
    const [id] = layer.writes as [string],
      [input] = layer.reads as [string],
      name = `${graph.name}: ${layer.writes.join(" + ")}`;
    switch (layer.kind) {
      case "linear": {
        const reads = linear.readsMasked ? masked(input) : input, wire = draft.wire(reads);
        const group = layer.specs.map((spec, i) => {
          const node = layer.writes[i], weightBits = scales.weightBits(node, wire);
          weights.set(node, weightBits);
          return { name: node, spec, weightBits };
        });
        draft.add("linear", [reads], layer.writes, linear.plan({ name, input: wire, layers: group }));
        break;
      }
      case "activation": {
        draft.checkFactor(input, id);
        // Whose part the client must know before the image; the image itself and what no linear layer reads masked are shared otherwise.
        const isLate = protocol.readsEarly && linear.readsMasked && draft.wire(input).clientLate;
        const reads = isLate ? masked(input) : input;
        const step = protocol.plan({
          name,
          input: draft.wire(reads),
          function: functionOf(id),
          outputBits: scales.outputBits(id),
          ...(options.angleBits === undefined ? {} : { angleBits: options.angleBits }),
          remask: layers.list.some(({ kind, reads }) => reads.includes(id) && kind !== "averagePool"),
        });
        draft.activations.set(id, step);
        draft.functions.set(id, functionOf(id));
        draft.add("activation", [reads], [id], step);
        break;
      }
      case "maxPool":
        draft.checkFactor(input, id);
        draft.add(
          "maxPool",
          [input],
          [id],
          maxPool(name, draft.wire(input), layer.spec, scales.outputBits(id)),
        );
        break;
      case "averagePool":
        draft.checkFactor(input, id);
        draft.add("averagePool", [input], [id], averagePool(layer, draft.wire(input)));
        break;
      case "add":
        for (const summand of layer.reads) draft.checkFactor(summand, id);
        draft.add(
          "add",
          layer.reads,
          [id],
          sum(graph.name, layer.reads, layer.reads.map((id) => draft.wire(id))),
        );
    }
  }
  draft.checkFactor(layers.output, "the logits");
  const logits = draft.wire(layers.output), opened = `${layers.output} opened`;
  draft.add("opening", [layers.output], [opened], opening(logits, scales.openedBits(logits)));
  return draft.finish(options, opened, [protocol.name, linear.name, scales.basis]);
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

const rangesInUnits = (ranges: Ranges, units: ReadonlyMap<string, number>): Ranges =>
  Object.fromEntries(Object.entries(ranges).map(([id, range]) => [id, range / units.get(id)!]));

/** A sum over windows, on shares; the division is in the scale, and its rest is a factor of the weights that read it. */
function averagePool(layer: Layer & { readonly kind: "averagePool" }, input: Wire): LocalStep {
  const bits = poolingBits(layer), words = windowWords(layer.windows, input.words);
  const output: Wire = {
    ...input,
    words,
    fractionBits: input.fractionBits + bits,
    factor: 2 ** bits / layer.windows.kernel ** 2,
    mask: null,
  };
  return { outputs: [output], apply: ([x]) => sumWindows(x, layer.windows, output) };
}

function sum(name: string, ids: readonly string[], wires: readonly Wire[]): LocalStep {
  const [coarse, fine] = [0, 1].toSorted((a, b) => wires[a].fractionBits - wires[b].fractionBits) as [
    number,
    number,
  ];
  // Else the extra bits of the sum would not be empty, and what a client sends early would show some of its words.
  if (valueBits(wires[fine]) < valueBits(wires[coarse])) {
    throw new RangeError(`${name}: the scales of ${ids[coarse]} and ${ids[fine]} do not fit in a sum`);
  }
  const output: Wire = {
    ...wires[fine],
    clientLate: wires.some(({ clientLate }) => clientLate),
    mask: null,
  };
  return { outputs: [output], apply: (halves) => addHalves(halves, wires, output) };
}

/** Steps as they are added. */
class Draft {
  readonly activations = new Map<string, ActivationStep>();
  readonly functions = new Map<string, Activation>();
  readonly weightBits = new Map<string, number>();
  readonly #wires = new Map<string, Wire>();
  readonly #steps: Omit<Step, "lastUses">[] = [];

  constructor(
    private readonly graph: Graph,
    private readonly layers: Layers,
    scales: Scales,
    private readonly units: ReadonlyMap<string, number>,
    private readonly batch: number,
  ) {
    this.#wires.set(layers.input, {
      words: batch * layers.inputLength,
      width: scales.width,
      ringBits: scales.ringBits,
      fractionBits: scales.imageBits,
      extraBits: 0,
      factor: 1,
      clientLate: true,
      mask: null,
    });
  }

  wire = (id: string): Wire => this.#wires.get(id)!;

  /** Only weights can take up what an average over a window of another size than a power of two leaves. */
  checkFactor(input: string, reader: string): void {
    if (this.wire(input).factor === 1) return;
    throw new RangeError(
      `${this.graph.name}: the average pooling ${input} over a window whose size is no power of two must feed a linear layer, not ${reader}`,
    );
  }

  /** Returns the first value that the step makes. */
  add(kind: Step["kind"], reads: readonly string[], writes: readonly string[], work: Step["work"]): string {
    writes.forEach((id, i) => {
      const wire = work.outputs[i], known = this.layers.lengths.get(id);
      if (this.#wires.has(id)) throw new RangeError(`${this.graph.name}: two steps make ${id}`);
      const length = known === undefined ? wire.words : this.batch * known;
      if (wire.words !== length) {
        throw new RangeError(`${this.graph.name}: ${id} has ${length} numbers, its step makes ${wire.words}`);
      }
      this.#wires.set(id, wire);
    });
    const { session = [], query = [] } = "setUp" in work ? work : {};
    this.#steps.push({
      kind,
      index: this.#steps.length,
      label: this.#labelOf(kind, reads[0], writes[0]),
      reads,
      writes,
      session,
      query,
      work,
    });
    return writes[0];
  }

  /** The place of a node in the graph: one more step in a plan changes no other's random stream. */
  #labelOf(kind: Step["kind"], read: string, write: string): number {
    const placeOf = (id: string) => this.graph.nodes.findIndex((node) => node.id === id);
    if (kind === "opening") return 2 * MAX_NODES;
    return kind === "re-masking" ? MAX_NODES + placeOf(read) : placeOf(write);
  }

  finish(options: PlanOptions, opened: string, basis: readonly unknown[]): Plan {
    const { graph, layers } = this, last = new Map<string, number>();
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
    return {
      graph,
      options,
      steps,
      wires: this.#wires,
      activations: this.activations,
      functions: this.functions,
      units: this.units,
      weightBits: this.weightBits,
      input: layers.input,
      output: layers.output,
      opened,
      batch: this.batch,
      inputLength: layers.inputLength,
      classes: graph.classes,
      basis: [...basis, graph.nodes, graph.inputShape, graph.classes, steps.map(describeAll)],
    };
  }
}

/** All that a step is, but its functions. */
function describeAll({ kind, label, reads, writes, session, query, work }: Step): unknown {
  const wires = work.outputs.map((wire) => ({ ...wire, mask: wire.mask?.name ?? null }));
  const { spec = {}, messages = [] } = "setUp" in work ? work : {};
  return [
    kind,
    label,
    reads,
    writes,
    wires,
    spec,
    messages,
    session.map(describeCorrelation),
    query.map(describeCorrelation),
  ];
}

/**
 * Raised with every change of what a plan means to the roles that its description does not show: how a message's words are computed.
 * Machines are updated one by one, and two versions that agreed on a plan would take one another's masks for corrections.
 */
export const PROTOCOL_VERSION = 3;

/** SHA-256 of everything that all three roles must agree on, as each of them derives it by its own code. */
export async function digestOf(plan: Plan): Promise<Uint8Array<ArrayBuffer>> {
  const text = JSON.stringify([PROTOCOL_VERSION, plan.basis]);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}
