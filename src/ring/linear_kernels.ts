/**
 * Kernels of convolutions and matrix products, for `convolution.ts` alone. Parameters are explained at the sources in
 * `kernels/`; strides (`...Step`, `...Plane`) are bytes.
 */

/** Winograd algorithms, see `kernels/winograd.gen.ts`. */
type Algorithm = "F4" | "F2" | "S2";

/** y[plane][pixel][m] = sum of words of x times weights; see `kernels/_gemm.ts`. */
type WeightsPanel = (
  w: number,
  size: number,
  x: number,
  y: number,
  planes: number,
  xPlane: number,
  yPlane: number,
  outputs: number,
  segments: number,
  length: number,
  segmentStep: number,
  rows: number,
  columns: number,
  lineStep: number,
  pixelStep: number,
  outGap: number,
) => void;

type PixelsPanel = (
  w: number,
  x: number,
  xStep: number,
  y: number,
  yStep: number,
  planes: number,
  xPlane: number,
  yPlane: number,
  outputs: number,
  length: number,
  n: number,
  runs: number,
  xRun: number,
  yRun: number,
  accumulates: boolean,
) => void;

type WinogradInput = (
  x: number,
  planes: number,
  planeStep: number,
  patch: number,
  height: number,
  width: number,
  channels: number,
  paddedChannels: number,
  padding: number,
  tileRows: number,
  tileColumns: number,
) => void;

type WinogradOutput = (
  planes: number,
  planeStep: number,
  tileStep: number,
  y: number,
  outHeight: number,
  outWidth: number,
  channels: number,
  tileRows: number,
  tileColumns: number,
) => void;

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
  gatherWindows(
    x: number,
    out: number,
    height: number,
    width: number,
    pixelBytes: number,
    kernel: number,
    stride: number,
    padding: number,
    outHeight: number,
    outWidth: number,
    rowBytes: number,
  ): void;
  magnitudeBits64(x: number, n: number): bigint;
  magnitudeBits32(x: number, n: number): number;
  pack(
    panel: number,
    bytes: number,
    length: number,
    lanes: number,
    to: number,
    size: number,
    outputs: number,
    m: number,
    group: number,
    blocked: boolean,
  ): void;
}

export type LinearKernels =
  & LayoutKernels
  & Record<"weightsPanel64" | "weightsPanel32", WeightsPanel>
  & Record<`pixelsPanel64s${8 | 4 | 2}` | `pixelsPanel32s${4 | 2}`, PixelsPanel>
  & Record<`winogradInput${Algorithm}_${32 | 64}`, WinogradInput>
  & Record<`winogradOutput${Algorithm}_${32 | 64}`, WinogradOutput>
  & Record<`winogradWeights${Algorithm}_${32 | 64}`, WinogradWeights>;
