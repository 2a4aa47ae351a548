/**
 * A network's architecture as JSON, without a weight: what all three roles must know of a network that is none of ours. It comes from
 * others, so everything in it is checked; and however it is written, the same network gives the same object, of which roles compare a
 * digest.
 */
import { type Graph, inferShapes, type Node, type Shape, sizeOf } from "./graph.ts";

/** What a field must be, and in words. */
interface Kind {
  readonly words: string;
  accepts(value: unknown): boolean;
}

const integer = (least: number, most: number): Kind => ({
  words: `an integer from ${least} to ${most}`,
  accepts: (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
});

const ID = /^[A-Za-z_][\w.]{0,80}$/, NAME = /^[A-Za-z0-9][\w.-]{0,60}$/;
const id: Kind = {
  words: "a name of letters, digits, _ and .",
  accepts: (value) => typeof value === "string" && ID.test(value),
};
const flag: Kind = { words: "true or false", accepts: (value) => typeof value === "boolean" };
const size = integer(1, 4096), channels = integer(1, 2 ** 16), border = integer(0, 4096);
const none: Kind = { words: "0, since no protocol averages over a border", accepts: (value) => value === 0 };

/** The fields of each kind of node beside `op` and `id`, in the order in which they are kept. */
const FIELDS: Readonly<Record<Node["op"], Readonly<Record<string, Kind>>>> = {
  input: {},
  conv: { input: id, kernel: size, stride: size, padding: border, outputs: channels, bias: flag },
  dense: { input: id, outputs: channels, bias: flag },
  batchNorm: { input: id },
  activation: { input: id },
  averagePool: { input: id, kernel: size, stride: size, padding: none },
  maxPool: { input: id, kernel: size, stride: size, padding: border },
  add: { input: id, shortcut: id },
  flatten: { input: id },
};

/** Nodes of a network, and numbers of one of its values: 64 MiB as they are shared. */
const MOST_NODES = 4000, MOST_WORDS = 2 ** 23;

/** The architecture alone: no marks for tables, no numbers where learned activations start. */
export function formatGraph({ name, classes, inputShape, nodes }: Graph): string {
  return JSON.stringify({ name, classes, inputShape, nodes: nodes.map(fieldsInOrder) }, null, 2) + "\n";
}

const fieldsInOrder = (node: Node): Record<string, unknown> =>
  Object.fromEntries(
    ["id", "op", ...Object.keys(FIELDS[node.op])].map((name) => [name, node[name as keyof Node]]),
  );

/** @throws {SyntaxError} that says what is wrong and where */
export function parseGraph(text: string): Graph {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new SyntaxError("not valid JSON");
  }
  const { name, classes, inputShape, nodes } = fieldsOf(value, "the network", [
    "name",
    "classes",
    "inputShape",
    "nodes",
  ]);
  if (typeof name !== "string" || !NAME.test(name)) {
    throw new SyntaxError(`"name" must be a name, found ${show(name)}`);
  }
  if (!channels.accepts(classes) || (classes as number) < 2) {
    throw new SyntaxError(`"classes" must be at least 2, found ${show(classes)}`);
  }
  if (!isShape(inputShape)) {
    throw new SyntaxError(`"inputShape" must be height, width and channels, found ${show(inputShape)}`);
  }
  if (!Array.isArray(nodes) || nodes.length < 2 || nodes.length > MOST_NODES) {
    throw new SyntaxError(`"nodes" must be a list of 2 to ${MOST_NODES} nodes`);
  }
  const graph = { name, classes: classes as number, inputShape, nodes: nodes.map(parseNode) };
  checkGraph(graph);
  return graph;
}

function parseNode(value: unknown, index: number): Node {
  const { op } = (value ?? {}) as Record<string, unknown>, at = `node ${index}`;
  if (typeof op !== "string" || !Object.hasOwn(FIELDS, op)) {
    throw new SyntaxError(`${at} must have an "op" of ${Object.keys(FIELDS).join(", ")}, found ${show(op)}`);
  }
  const kinds: Readonly<Record<string, Kind>> = { id, ...FIELDS[op as Node["op"]] },
    names = Object.keys(kinds);
  const fields = fieldsOf(value, at, ["op", ...names]);
  for (const name of names) {
    if (kinds[name].accepts(fields[name])) continue;
    throw new SyntaxError(
      `${at} (${op}): "${name}" must be ${kinds[name].words}, found ${show(fields[name])}`,
    );
  }
  return fieldsInOrder(fields as unknown as Node) as unknown as Node;
}

/** An object with these fields and no other: one that is not understood may matter. */
function fieldsOf(value: unknown, what: string, names: readonly string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new SyntaxError(`${what} must be an object`);
  }
  const other = Object.keys(value).find((name) => !names.includes(name));
  if (other !== undefined) {
    throw new SyntaxError(`${what} has the field ${show(other)}; known are ${names.join(", ")}`);
  }
  return value as Record<string, unknown>;
}

const isShape = (value: unknown): value is Shape =>
  Array.isArray(value) && value.length === 3 && value.every(size.accepts);

const show = (value: unknown) => JSON.stringify(value)?.slice(0, 60) ?? "nothing";

function checkGraph(graph: Graph): void {
  const { nodes, classes } = graph;
  if (
    nodes.findIndex(({ op }) => op === "input") !== 0 || nodes.filter(({ op }) => op === "input").length > 1
  ) {
    throw new SyntaxError("the first node, and no other, must be the input");
  }
  let shapes: Map<string, Shape>;
  try {
    shapes = inferShapes(graph);
  } catch (error) {
    throw new SyntaxError((error as Error).message);
  }
  const large = [...shapes].find(([, shape]) => sizeOf(shape) > MOST_WORDS);
  if (large) {
    throw new SyntaxError(
      `node ${large[0]} has ${sizeOf(large[1])} numbers, more than the ${MOST_WORDS} that are taken`,
    );
  }
  const last = nodes.at(-1)!.id, logits = shapes.get(last)!;
  if (logits.join() !== `1,1,${classes}`) {
    throw new SyntaxError(
      `the last node, ${last}, must give ${classes} logits, its shape is ${logits.join(" x ")}`,
    );
  }
}
