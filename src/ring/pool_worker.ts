/** A worker of a {@linkcode "./pool.ts".ConvolutionPool}: its own ring, its own slices of weights. */
import { Convolution } from "./convolution.ts";
import {
  countAfter,
  EXIT,
  FAILED,
  LAYER_FIELDS,
  type LayerNumbers,
  OPERATION,
  PARAMETERS,
  type PoolStart,
  PREPARE,
  RELEASE,
  REPLY,
  REQUEST,
  RUN,
  waitForValue,
} from "./pool_protocol.ts";
import { Ring } from "./ring.ts";
import { workerData } from "node:worker_threads";

async function serve({ control, data }: PoolStart): Promise<void> {
  const ring = await Ring.open();
  const layers = new Map<number, Layer>();
  const shared = new Uint8Array(data); // follows the growth of the block
  for (let request = countAfter(0);; request = countAfter(request)) {
    waitForValue(control, REQUEST, request);
    const operation = control[OPERATION];
    try {
      const [id = 0, ...parameters] = control.subarray(PARAMETERS);
      if (operation === PREPARE) layers.set(id, new Layer(ring, parameters, shared));
      if (operation === RUN) layers.get(id)!.run(parameters[0], shared);
      if (operation === RELEASE) layers.get(id)?.[Symbol.dispose]();
      if (operation === RELEASE) layers.delete(id);
    } catch (error) {
      console.error(`worker of the convolution pool: ${error instanceof Error ? error.message : error}`);
      control[FAILED] = 1;
    }
    Atomics.store(control, REPLY, request);
    Atomics.notify(control, REPLY);
    if (operation === EXIT) return;
  }
}

/** A convolution with room for its operands. */
class Layer implements Disposable {
  readonly #held: Disposable;
  readonly #convolution: Convolution<32 | 64>;
  readonly #inputBytes: number;
  readonly #outputBytes: number;
  readonly #x: number;
  readonly #y: number;

  constructor(readonly ring: Ring, parameters: readonly number[], shared: Uint8Array) {
    const layer = Object.fromEntries(LAYER_FIELDS.map((field, i) => [field, parameters[i]])) as LayerNumbers;
    const { small, inputBytes, outputBytes, weightBytes, columns, ...sizes } = layer;
    using failing = new DisposableStack();
    const held = (bytes: number) => {
      const address = ring.allocate(bytes);
      failing.defer(() => ring.release(address, bytes));
      return address;
    };
    const weights = ring.allocate(weightBytes);
    try {
      ring.bytes.set(shared.subarray(0, weightBytes), weights);
      const spec = { ...sizes, width: columns };
      this.#convolution = failing.use(
        new Convolution(ring, layer.width as 32 | 64, spec, weights, { small: small === 1 }),
      );
    } finally {
      ring.release(weights, weightBytes);
    }
    this.#x = held(this.#inputBytes = inputBytes);
    this.#y = held(this.#outputBytes = outputBytes);
    // What fails half-way gives back what it has.
    this.#held = failing.move();
  }

  /** Inputs lie at the start of the shared block, outputs go to `offset`. */
  run(offset: number, shared: Uint8Array): void {
    this.ring.bytes.set(shared.subarray(0, this.#inputBytes), this.#x);
    this.#convolution.run(this.#x, this.#y);
    shared.set(this.ring.bytes.subarray(this.#y, this.#y + this.#outputBytes), offset);
  }

  [Symbol.dispose](): void {
    this.#held[Symbol.dispose]();
  }
}

await serve(workerData as PoolStart);
