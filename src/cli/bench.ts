/**
 * `deno task bench`: speed of the ring kernels beside TensorFlow.js in float, both on one thread of this machine.
 * Weights and inputs are filled: WebAssembly memory that was never written reads as one cached page of zeros, which
 * makes memory-bound layers look up to twice as fast as they are.
 */
import { buildModel, MODEL_NAMES } from "../models/zoo.ts";
import { isLinear } from "../models/fold.ts";
import { inferShapes, windowOf } from "../models/graph.ts";
import { Convolution, type ConvolutionSpec, outputSize } from "../ring/convolution.ts";
import { Ring } from "../ring/ring.ts";
import type { Width } from "../ring/tensor.ts";
import { type Candidate, measure, type Timing } from "../bench/measure.ts";
import { openTensorflow } from "../models/tensorflow_backend.ts";
import { floatConvolution } from "../bench/tensorflow_convolution.ts";
import { runCommand, UsageError } from "../terminal/command.ts";
import { formatTable } from "../terminal/table.ts";
import { REVECTORIZE, v8Arguments } from "../terminal/v8_flags.ts";

/** Height and width, inputs, outputs, kernel, stride. */
const SHAPES: readonly (readonly [number, number, number, number, number])[] = [
  [32, 64, 64, 3, 1],
  [16, 128, 128, 3, 1],
  [8, 256, 256, 3, 1],
  [4, 512, 512, 3, 1],
  [2, 512, 512, 3, 1],
  [32, 16, 16, 3, 1],
  [16, 32, 32, 3, 1],
  [8, 64, 64, 3, 1],
  [32, 3, 64, 3, 1],
  [32, 64, 128, 3, 2],
  [16, 128, 256, 3, 2],
  [8, 256, 512, 3, 2],
  [32, 64, 128, 1, 2],
  [1, 512, 512, 1, 1],
  [224, 3, 64, 7, 2],
  [56, 64, 64, 3, 1],
  [28, 128, 128, 3, 1],
  [14, 256, 256, 3, 1],
  [7, 512, 512, 3, 1],
  [56, 64, 256, 1, 1],
  [14, 1024, 256, 1, 1],
  [7, 512, 2048, 1, 1],
];

const NETWORKS = ["minionn-bn", "resnet32", "resnet18", "vgg16-bn-avg"];
const PARTS = ["elementwise", "layers", "networks"] as const;

/** Full: random words, as masks and shares are. Small: plaintext weights of 9 bits and a sign. */
const VARIANTS: readonly { readonly name: string; readonly width: Width; readonly small: boolean }[] = [
  { name: "64 full", width: 64, small: false },
  { name: "64 small", width: 64, small: true },
  { name: "32 full", width: 32, small: false },
  { name: "32 small", width: 32, small: true },
];
const SMALL_RANGE = 300;

/** Runs this command again with the flag of the roles, which V8 reads at its start. */
async function revectorized(): Promise<number> {
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-read",
      "--no-prompt",
      ...v8Arguments(["--no-liftoff", "--no-wasm-lazy-compilation", ...REVECTORIZE]),
      import.meta.filename!,
      ...Deno.args,
      "--no-revectorize",
    ],
  }).spawn().status;
  return code;
}

const layerName = ({ height, inputs, outputs, kernel, stride }: ConvolutionSpec) =>
  `${kernel}x${kernel}${stride > 1 ? `/${stride}` : ""} ${inputs}->${outputs} @${height}`;

/** The convolutions and dense layers of a network in order. */
function linearLayers(model: string): ConvolutionSpec[] {
  const graph = buildModel(model);
  const shapes = inferShapes(graph);
  return graph.nodes.filter(isLinear).map((node) => {
    const [height, width, inputs] = shapes.get(node.input)!, { kernel, stride, padding } = windowOf(node);
    return { height, width, inputs, kernel, stride, padding, outputs: node.outputs };
  });
}

/** Runs all layers one after another, in every variant and in TensorFlow.js, in turns. */
function benchSequence(
  ring: Ring,
  name: string,
  specs: readonly ConvolutionSpec[],
  seconds: number,
): Record<string, unknown> {
  using stack = new DisposableStack();
  const block = (bytes: number) => {
    const address = ring.allocate(bytes);
    stack.defer(() => ring.release(address, bytes));
    fillRandom(ring, address, bytes);
    return address;
  };
  const largest = (words: (spec: ConvolutionSpec) => number) => Math.max(...specs.map(words));
  const x = block(8 * largest((spec) => spec.height * spec.width * spec.inputs));
  const y = block(8 * largest((spec) => outputSize(spec).height * outputSize(spec).width * spec.outputs));
  const macs = specs.reduce((sum, spec) => sum + products(spec), 0);
  const row: Record<string, unknown> = { layer: name, macs };
  const candidates: Candidate[] = VARIANTS.map(({ name, width, small }) => {
    const layers = specs.map((spec) => stack.use(randomConvolution(ring, width, spec, small)));
    if (name === "64 full") {
      row["weights MB"] = layers.reduce((sum, layer) => sum + layer.weightBytes, 0) / 1e6;
    }
    return { name, run: () => layers.forEach((layer) => layer.run(x, y)) };
  });
  const floats = specs.map(floatConvolution);
  stack.defer(() => floats.forEach((layer) => layer.dispose()));
  candidates.push({ name: "tf", run: () => floats.forEach((layer) => layer.run()) });
  const timings = measure(candidates, seconds);
  const tf = timings.get("tf")!;
  for (const [name, timing] of timings) {
    row[name] = timing;
    if (name !== "tf") {
      row[`${name} ratio`] = tf.medianMs / timing.medianMs;
      row[`${name} best ratio`] = tf.bestMs / timing.bestMs;
    }
    row[`${name} GMAC/s`] = macs / timing.bestMs / 1e6;
  }
  return row;
}

function products(spec: ConvolutionSpec): number {
  const { height, width } = outputSize(spec);
  return height * width * spec.kernel ** 2 * spec.inputs * spec.outputs;
}

function randomConvolution(
  ring: Ring,
  width: Width,
  spec: ConvolutionSpec,
  small: boolean,
): Convolution<Width> {
  const bytes = spec.kernel ** 2 * spec.inputs * spec.outputs * width / 8;
  const weights = ring.allocate(bytes);
  fillRandom(ring, weights, bytes);
  if (small) {
    if (width === 32) {
      const words = new Int32Array(ring.bytes.buffer, weights, bytes / 4);
      words.forEach((word, i) => words[i] = word % SMALL_RANGE);
    } else {
      const words = new BigInt64Array(ring.bytes.buffer, weights, bytes / 8);
      words.forEach((word, i) => words[i] = word % BigInt(SMALL_RANGE));
    }
  }
  try {
    return new Convolution(ring, width, spec, weights, { small });
  } finally {
    ring.release(weights, bytes);
  }
}

/** xorshift32 is enough: the values only have to be many. */
function fillRandom(ring: Ring, address: number, bytes: number): void {
  const words = new Uint32Array(ring.bytes.buffer, address, Math.ceil(bytes / 4));
  let state = 0x9e3779b9;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
}

/** Rates in the second-level cache and in memory. */
function benchElementwise(ring: Ring, seconds: number): Record<string, unknown>[] {
  const LARGEST = 1 << 21, PLANES = 5;
  const k = ring.kernels;
  using stack = new DisposableStack();
  const block = (words: number) => {
    const address = ring.allocate(words * 8);
    stack.defer(() => ring.release(address, words * 8));
    fillRandom(ring, address, words * 8);
    return address;
  };
  const [a, b, out] = [block(PLANES * LARGEST), block(PLANES * LARGEST), block(PLANES * LARGEST)];
  const table = block(64);
  /** Operation, words moved for each element. */
  const operations: readonly [string, number, (n: number) => void][] = [
    ["add64", 3, (n) => k.add64(a, b, out, n)],
    ["mul64", 3, (n) => k.mul64(a, b, out, n)],
    ["mulAdd64", 4, (n) => k.mulAdd64(out, a, b, n)],
    ["sar64", 2, (n) => k.sar64(a, 12, out, n)],
    ["horner64, degree 2", 4, (n) => k.horner64(a, b, 2, 3n, out, n)],
    ["horner64, degree 4", 6, (n) => k.horner64(a, b, 4, 3n, out, n)],
    ["polynomials64, 1 row of degree 4", 2, (n) => k.polynomials64(a, table, 1, 4, out, n)],
    ["polynomials64, 4 rows of degree 4", 5, (n) => k.polynomials64(a, table, 4, 4, out, n)],
    ["bilinear64, 5 rows", 12, (n) => k.bilinear64(a, b, table, 5, out, n)],
    ["bitPlanes64", 2, (n) => k.bitPlanes64(a, out, n)],
    ["bitsToWords64", 1, (n) => k.bitsToWords64(a, out, n)],
  ];
  return [1 << 12, LARGEST].flatMap((n) => {
    const timings = measure(operations.map(([name, , run]) => ({ name, run: () => run(n) })), seconds);
    return operations.map(([operation, words]) => {
      const { bestMs } = timings.get(operation)!;
      return { operation, n, rate: n / bestMs / 1e6, "GB/s": n * words * 8 / bestMs / 1e6 };
    });
  });
}

/** Times as text, ratios with two digits. */
function forPeople(row: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => {
      if (isTiming(value)) return [key, `${digits(value.medianMs)} (${digits(value.bestMs)})`];
      return [
        key,
        typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(3)) : value,
      ];
    }),
  );
}

const digits = (ms: number) => ms.toFixed(ms < 10 ? 3 : 1);
const isTiming = (value: unknown): value is Timing =>
  typeof value === "object" && value !== null && "medianMs" in value;

if (import.meta.main) {
  await runCommand({
    name: "bench",
    summary: "measure the ring kernels beside TensorFlow.js in float, one thread each",
    notes:
      "Times are medians (best in brackets) in ms of interleaved runs; ratio is TensorFlow.js' time divided by ours, so " +
      "above 1 we are faster. Everything a layer does is included: padding, transforms, unpacking of weights. " +
      "On x86-64 all of it runs with V8's experimental pass for vectors of 256 bits, as the roles do: up to twice as fast in " +
      "32 bits; TensorFlow.js has nothing of it.",
    time: "about 2 minutes",
    examples: ["bench --only layers", "bench --only networks --models resnet18 --json"],
    options: {
      only: { type: "list", choices: PARTS, default: PARTS, help: "what to measure" },
      models: {
        type: "list",
        choices: MODEL_NAMES,
        help: `networks whose linear layers to run (default: ${NETWORKS.join()})`,
      },
      seconds: { type: "number", min: 0.01, max: 600, default: 1, help: "time for each row" },
      noRevectorize: { type: "boolean", help: "without that pass, as on other processors" },
      json: { type: "boolean", help: "print rows as JSON" },
    },
    async run(options) {
      if (options.models !== undefined && !options.only.includes("networks")) {
        throw new UsageError("--models are measured by --only networks, which is not among what was given");
      }
      if (!options.noRevectorize && REVECTORIZE.length > 0) return await revectorized();
      const ring = await Ring.open();
      const rows: Record<string, unknown>[] = [];
      const show = (title: string, columns: readonly string[], part: Record<string, unknown>[]) => {
        rows.push(...part.map((row) => ({ part: title, ...row })));
        if (!options.json) console.log(`\n${title}\n\n${formatTable(part.map(forPeople), columns)}`);
      };
      if (options.only.includes("elementwise")) {
        show(
          "elementwise, 10^9 elements/s",
          ["operation", "n", "rate", "GB/s"],
          benchElementwise(ring, options.seconds),
        );
      }
      if (options.only.includes("layers") || options.only.includes("networks")) await openTensorflow();
      const columns = ["tf", ...VARIANTS.flatMap(({ name }) => [name, `${name} ratio`])];
      if (options.only.includes("layers")) {
        const part = SHAPES.map(([size, inputs, outputs, kernel, stride]) => {
          const padding = Math.floor(kernel / 2);
          const spec = { height: size, width: size, inputs, kernel, stride, padding, outputs };
          return benchSequence(ring, layerName(spec), [spec], options.seconds);
        });
        show("layers, ms", ["layer", ...columns], part);
      }
      if (options.only.includes("networks")) {
        const part = (options.models ?? NETWORKS).map((model) =>
          benchSequence(ring, model, linearLayers(model), options.seconds * 5)
        );
        show("all linear layers in order, ms", ["layer", "weights MB", ...columns], part);
      }
      if (options.json) console.log(JSON.stringify(rows, null, 2));
    },
  });
}
