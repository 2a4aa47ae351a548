/**
 * Parameters of kernels, as text: the sources are printed with it, and TypeScript takes the names from it (see
 * `ring/named_kernels.ts`). Of kernels with more than eight; strides (`...Image`, `...Row`, `...Step`) are bytes.
 */

const TILES_TO_PLANES = `
  x: usize, planes: usize, planeStep: usize, imageStep: usize, rowStep: usize, channels: i32, tileRows: i32,
  tileColumns: i32, first: i32, count: i32`;

export const CONVOLUTION_HEADS = {
  multiply: `
  x: usize, w: usize, y: usize, biases: usize, images: i32, rows: i32, columns: i32,
  xImage: usize, xRow: usize, xColumn: usize, yImage: usize, yRow: usize, yColumn: usize,
  segments: i32, length: i32, segmentStep: usize, outputs: i32,
  planes: i32, xPlane: usize, wPlane: usize, yPlane: usize, accumulates: bool`,
  multiplyTransposed: `
  x: usize, dz: usize, dw: usize, dwRow: usize, accumulates: bool, images: i32, rows: i32, columns: i32,
  xImage: usize, xRow: usize, xColumn: usize, zImage: usize, zRow: usize, zColumn: usize,
  segments: i32, length: i32, segmentStep: usize, outputs: i32, blockImages: i32, blockRows: i32,
  planes: i32, xPlane: usize, zPlane: usize, dwPlane: usize`,
  winogradInput: TILES_TO_PLANES,
  winogradGradient: TILES_TO_PLANES,
  winogradOutput: `
  planes: usize, planeStep: usize, y: usize, bias: usize, imageStep: usize, rowStep: usize, channels: i32,
  tileRows: i32, tileColumns: i32, first: i32, count: i32`,
  rowsForward: `
  x: usize, xStep: usize, xImage: usize, weights: usize, bias: usize, z: usize, images: i32, lines: i32, tiles: i32,
  planes: usize`,
  rowsWeightGradient: `
  x: usize, xStep: usize, xImage: usize, dz: usize, zStep: usize, zImage: usize, dw: usize, images: i32, lines: i32,
  tiles: i32, planes: usize, gradients: usize`,
} as const;
