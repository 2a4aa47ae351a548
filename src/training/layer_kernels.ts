/**
 * The kernels of everything that is not a convolution, as TypeScript sees them. A tensor is three numbers: address of
 * its first element, bytes from row to row, bytes from image to image. Sources are in `kernels/`.
 */
import { instantiateModulesNow, loadModules } from "../ring/kernel_modules.ts";

/** Address, bytes of a row, bytes of an image. */
export type Place = readonly [at: number, row: number, image: number];
/** Images, rows of an image, numbers of a row. */
export type Extent = readonly [images: number, rows: number, floats: number];

/** Kernels over all elements, named after activation and operands; tensors, extent, tables, period, then the rest. */
type Elementwise = (...args: number[]) => void;

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

export interface LayerKernels {
  /** `forward<Activation>[Shortcut]`, `backward<Activation>[Shortcut][Second]`: see layers.gen.ts. */
  readonly [fused: `${"forward" | "backward" | "outliers"}${string}`]: Elementwise;
  moments: Elementwise;
  normGradient: Elementwise;
  sum: Elementwise;
  copy: Elementwise;
  averagePool: Elementwise;
  averagePoolGradient: Elementwise;
  averagePoolScatter: Elementwise;
  maxPool: Elementwise;
  maxPoolGradient: Elementwise;
  clear: Elementwise;
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

const MODULES = ["layers", "layers_pooling", "layers_update"];

/** Compiles `build/training_layers*.wasm`; the modules can be posted to workers. */
export const loadLayerModules = (): Promise<WebAssembly.Module[]> => loadModules("training", MODULES);

/** Instantiates the kernels in `memory`, which must have at least 16 pages. */
export const instantiateLayerKernels = (
  memory: WebAssembly.Memory,
  modules: readonly WebAssembly.Module[],
): LayerKernels => instantiateModulesNow<LayerKernels>(memory, modules);
