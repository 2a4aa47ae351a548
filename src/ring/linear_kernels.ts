/**
 * Kernels of convolutions and matrix products, for convolutions alone. Parameters are explained at the sources in
 * `kernels/`.
 */
import type { LINEAR_HEADS } from "./kernels/_heads.ts";
import type { NamedKernels } from "./named_kernels.ts";

/** Winograd algorithms, see `kernels/winograd.gen.ts`. */
type Algorithm = "F4" | "F2" | "S2";

type WinogradWeights = (
  w: number,
  panel: number,
  inputs: number,
  outputs: number,
  m: number,
  lanes: number,
) => void;

interface LayoutKernels {
  copyRows(
    from: number,
    fromStep: number,
    to: number,
    toStep: number,
    bytes: number,
    targetBytes: number,
    rows: number,
  ): void;
  padImage(x: number, out: number, height: number, width: number, pixelBytes: number, padding: number): void;
  magnitudeBits64(x: number, n: number): bigint;
  magnitudeBits32(x: number, n: number): number;
}

export type LinearKernels =
  & LayoutKernels
  & NamedKernels<typeof LINEAR_HEADS>
  & Record<`winogradWeights${Algorithm}_${32 | 64}`, WinogradWeights>;
