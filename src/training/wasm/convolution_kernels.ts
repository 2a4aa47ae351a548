/** The kernels of convolutions, as TypeScript sees them; `kernels/` has their sources. */
import { instantiateModulesNow, type KernelExports, loadModules } from "../../ring/kernel_modules.ts";
import { type NamedKernels, nameParameters } from "../../ring/named_kernels.ts";
import { CONVOLUTION_HEADS } from "../kernels/_heads.ts";

export { RESERVED_BYTES } from "../../ring/kernel_modules.ts";

/** Exports with no more parameters than can be told apart by position; see the sources. */
interface PlainKernels {
  packPanels(...args: number[]): void;
  copyRows(...args: number[]): void;
  zero(at: number, bytes: number): void;
  multiplyAdd(a: number, b: number, c: number): number;
  winogradWeights(...args: number[]): void;
  winogradWeightGradient(...args: number[]): void;
  rowsWeights(...args: number[]): void;
}

export type ConvolutionKernels = PlainKernels & NamedKernels<typeof CONVOLUTION_HEADS>;

const MODULES = ["convolution", "winograd", "winograd_rows"];

/** Compiles `build/training_*.wasm`; the modules can be posted to workers. */
export const loadConvolutionModules = (): Promise<WebAssembly.Module[]> => loadModules("training", MODULES);

/** Instantiates the kernels in `memory`: at least 16 pages and a maximum, at most 65536. */
export function instantiateConvolutionKernels(
  memory: WebAssembly.Memory,
  modules: readonly WebAssembly.Module[],
): ConvolutionKernels {
  const exports = instantiateModulesNow<KernelExports & PlainKernels>(memory, modules);
  return Object.assign(exports, nameParameters(exports, CONVOLUTION_HEADS));
}

/** Whether `f32x4.relaxed_madd` rounds once on this machine: results have other bits where it rounds twice. */
export function hasFusedMultiplyAdd(kernels: ConvolutionKernels): boolean {
  const a = 1 + 2 ** -12;
  return kernels.multiplyAdd(a, a, -(1 + 2 ** -11)) !== 0;
}
