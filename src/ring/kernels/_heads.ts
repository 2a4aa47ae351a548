/**
 * Parameters of the kernels that take more than eight, as text: the sources are printed with it, and TypeScript takes the names
 * from it (see `named_kernels.ts`). Strides (`...Step`, `...Plane`, `...Run`) are bytes.
 */

/** y[plane][pixel][m] = sum of words of x times weights, pixels rows by columns; see `_gemm.ts`. */
export const WEIGHTS_PANEL_HEAD = `
  w: usize, size: i32, x: usize, y: usize, planes: i32, xPlane: usize, yPlane: usize, outputs: i32,
  segments: i32, length: i32, segmentStep: usize, rows: i32, columns: i32, lineStep: usize, pixelStep: usize,
  outGap: usize`;

/** The same for few pixels, `runs` times n of them. */
export const PIXELS_PANEL_HEAD = `
  w: usize, x: usize, xStep: usize, y: usize, outStep: usize, planes: i32, xPlane: usize, yPlane: usize,
  outputs: i32, length: i32, n: i32, runs: i32, xRun: usize, yRun: usize, accumulates: bool`;

export const WINOGRAD_INPUT_HEAD = `
  x: usize, planes: usize, planeStep: usize, patch: usize, height: i32, width: i32, channels: i32, paddedChannels: i32,
  padding: i32, tileRows: i32, tileColumns: i32`;

export const WINOGRAD_OUTPUT_HEAD = `
  planes: usize, planeStep: usize, tileStep: usize, y: usize, outHeight: i32, outWidth: i32, channels: i32,
  tileRows: i32, tileColumns: i32`;

export const LINEAR_HEADS = {
  weightsPanel64: WEIGHTS_PANEL_HEAD,
  weightsPanel32: WEIGHTS_PANEL_HEAD,
  pixelsPanel64s8: PIXELS_PANEL_HEAD,
  pixelsPanel64s4: PIXELS_PANEL_HEAD,
  pixelsPanel64s2: PIXELS_PANEL_HEAD,
  pixelsPanel32s4: PIXELS_PANEL_HEAD,
  pixelsPanel32s2: PIXELS_PANEL_HEAD,
  winogradInputF4_64: WINOGRAD_INPUT_HEAD,
  winogradInputF2_64: WINOGRAD_INPUT_HEAD,
  winogradInputS2_64: WINOGRAD_INPUT_HEAD,
  winogradInputF4_32: WINOGRAD_INPUT_HEAD,
  winogradInputF2_32: WINOGRAD_INPUT_HEAD,
  winogradInputS2_32: WINOGRAD_INPUT_HEAD,
  winogradOutputF4_64: WINOGRAD_OUTPUT_HEAD,
  winogradOutputF2_64: WINOGRAD_OUTPUT_HEAD,
  winogradOutputS2_64: WINOGRAD_OUTPUT_HEAD,
  winogradOutputF4_32: WINOGRAD_OUTPUT_HEAD,
  winogradOutputF2_32: WINOGRAD_OUTPUT_HEAD,
  winogradOutputS2_32: WINOGRAD_OUTPUT_HEAD,
  gatherWindows: `
  x: usize, out: usize, height: i32, width: i32, pixelBytes: usize, kernel: i32, stride: i32, padding: i32,
  outHeight: i32, outWidth: i32, rowBytes: usize`,
  pack: `
  panel: usize, bytes: i32, length: i32, lanes: i32, to: usize, size: i32, outputs: i32, m: i32, group: i32,
  blocked: bool`,
} as const;

/** The server's gate of `trigonometric`, one for each number of harmonics. */
export const TRIGONOMETRIC_SERVER_HEAD =
  "e: usize, words: usize, turn: usize, waveBits: i32, k: i32, t: i32, lineShift: i32, out: usize, n: u32";

export const TRIGONOMETRIC_HEADS = {
  trigonometricGateServer1: TRIGONOMETRIC_SERVER_HEAD,
  trigonometricGateServer2: TRIGONOMETRIC_SERVER_HEAD,
  trigonometricGateServer3: TRIGONOMETRIC_SERVER_HEAD,
} as const;
