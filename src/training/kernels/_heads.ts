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

/** What every element-wise kernel takes behind its operands: the loops, and tables of one number a channel. */
const SWEEP = "images: i32, rows: i32, floats: i32, tables: usize, period: i32";
const WINDOWS = "images: i32, height: i32, width: i32, channels: i32, kernel: i32";

/**
 * Families of kernels over tensors: operands, then parameters. A tensor is three numbers, the address of its first element and
 * the bytes from row to row and from image to image. An operand with a `?` may be absent; the kernel without it has another name.
 */
export const LAYER_HEADS = {
  forwardIdentity: { operands: "z s? y", parameters: SWEEP },
  forward: { operands: "z s? y", parameters: `${SWEEP}, settings: usize, record: usize` },
  backwardIdentity: { operands: "dy ey? z g", parameters: `${SWEEP}, sums: usize` },
  backward: { operands: "dy ey? z s? g", parameters: `${SWEEP}, sums: usize, settings: usize, factor: f32` },
  backwardFourier: { operands: "dy ey? z s?", parameters: `${SWEEP}, settings: usize, result: usize` },
  moments: { operands: "z", parameters: `${SWEEP}, sums: usize` },
  normGradient: { operands: "g z dz", parameters: SWEEP },
  sum: { operands: "x w y", parameters: SWEEP },
  copy: { operands: "x y", parameters: SWEEP },
  outliers: { operands: "z s?", parameters: `${SWEEP}, least: f32, result: usize` },
  averagePool: { operands: "x y", parameters: `${WINDOWS}, stride: i32` },
  averagePoolGradient: { operands: "dy dx", parameters: WINDOWS },
  averagePoolScatter: { operands: "dy dx", parameters: `${WINDOWS}, stride: i32` },
  maxPool: { operands: "x y", parameters: `${WINDOWS}, stride: i32, padding: i32, xHeight: i32, xWidth: i32` },
  maxPoolGradient: {
    operands: "x dy dx",
    parameters: `${WINDOWS}, stride: i32, padding: i32, xHeight: i32, xWidth: i32`,
  },
} as const;

export type LayerFamily = keyof typeof LAYER_HEADS;

/** Names of the operands of a family, in order, all of them. */
export const operandNames = (family: LayerFamily): string[] =>
  LAYER_HEADS[family].operands.split(" ").map((operand) => operand.replace("?", ""));

/** The name of one kernel: its family, its activation, and which of the operands that may be absent it has. */
export const kernelName = (family: LayerFamily, activation: string, has: (operand: string) => boolean): string =>
  `${family}${activation}${has("s") ? "Shortcut" : ""}${has("ey") ? "Second" : ""}`;

/** The head of a kernel with these operands. */
export const layerHead = (family: LayerFamily, operands: readonly string[] = operandNames(family)): string =>
  operands.map((name) => `${name}Base: usize, ${name}Row: usize, ${name}Image: usize, `).join("") +
  LAYER_HEADS[family].parameters;
