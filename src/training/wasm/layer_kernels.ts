/** The kernels of everything that is not a convolution, as TypeScript sees them. Sources are in `kernels/`. */
import { instantiateModulesNow, loadModules } from "../../ring/kernel_modules.ts";
import { type NamedValues, parameterNames } from "../../ring/named_kernels.ts";
import { kernelName, LAYER_HEADS, type LayerFamily, operandNames } from "../kernels/_heads.ts";
import type { Tensor } from "./tensor.ts";

type Operands<Text extends string> = Text extends `${infer First} ${infer Rest}`
  ? Operands<First> & Operands<Rest>
  : Text extends `${infer Name}?` ? { readonly [name in Name]: Tensor | undefined }
  : { readonly [name in Text]: Tensor };

/** Kernels over tensors by name, from image `first` on; of activations there is one each. */
type TensorKernels = {
  readonly [family in LayerFamily]: (
    operands: Operands<typeof LAYER_HEADS[family]["operands"]>,
    first: number,
    parameters: NamedValues<typeof LAYER_HEADS[family]["parameters"]>,
    activation?: string,
  ) => void;
};

type Descend = (
  w: number,
  v: number,
  g: number,
  n: number,
  factor: number,
  decay: number,
  momentum: number,
  rate: number,
) => void;

interface PlainKernels {
  /** Zeroes the rows of a tensor. */
  clear(x: number, row: number, image: number, images: number, rows: number, floats: number): void;
  /** total += part. */
  addTo(total: number, part: number, n: number): void;
  squaredSum(g: number, n: number): number;
  /** c [m][n] = a [m][k] b [k][n], a with steps of its own in bytes. */
  multiply(
    a: number,
    aRow: number,
    aColumn: number,
    b: number,
    c: number,
    m: number,
    k: number,
    n: number,
  ): void;
  /** d = factor * g + decay * w; v = momentum * v + d; w -= rate * v. */
  descend: Descend;
  /** The same but w -= rate * (momentum * v + d). */
  descendAhead: Descend;
}

export type LayerKernels = PlainKernels & TensorKernels;

const MODULES = ["layers", "layers_pooling", "layers_update"];

/** Compiles `build/training_layers*.wasm`; the modules can be posted to workers. */
export const loadLayerModules = (): Promise<WebAssembly.Module[]> => loadModules("training", MODULES);

/** Instantiates the kernels in `memory`, which must have at least 16 pages. */
export function instantiateLayerKernels(
  memory: WebAssembly.Memory,
  modules: readonly WebAssembly.Module[],
): LayerKernels {
  const exports = instantiateModulesNow<PlainKernels & Exports>(memory, modules);
  const families = Object.keys(LAYER_HEADS) as LayerFamily[];
  const named = Object.fromEntries(families.map((family) => [family, tensorKernel(exports, family)]));
  return { ...named as unknown as TensorKernels, ...plain(exports) };
}

type Exports = Readonly<Record<string, (...values: number[]) => void>>;

const plain = ({ clear, addTo, squaredSum, multiply, descend, descendAhead }: PlainKernels): PlainKernels => (
  { clear, addTo, squaredSum, multiply, descend, descendAhead }
);

/** A call sweeps over a tensor, thousands of numbers: the list of its arguments costs nothing beside that. */
function tensorKernel(exports: Exports, family: LayerFamily) {
  const operands = operandNames(family), parameters = parameterNames(LAYER_HEADS[family].parameters);
  return (
    tensors: Readonly<Record<string, Tensor | undefined>>,
    first: number,
    values: Readonly<Record<string, number>>,
    activation = "",
  ) => {
    const list: number[] = [];
    for (const operand of operands) {
      const tensor = tensors[operand];
      if (tensor) list.push(tensor.at + first * tensor.image, tensor.row, tensor.image);
    }
    for (const parameter of parameters) list.push(values[parameter]);
    exports[kernelName(family, activation, (operand) => tensors[operand] !== undefined)](...list);
  };
}
