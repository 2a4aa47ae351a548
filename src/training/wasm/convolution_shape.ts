/** What a convolution of the training kernels is: its sizes, its operations, and where its numbers lie. */
import { outputAlong } from "../../ring/convolution.ts";

/** One convolution (or dense layer: a 1x1 image) over a shard. */
export interface ConvolutionShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/**
 * A planned convolution, forward and both gradients. Plans that differ in the batch alone have the same borders and the
 * same prepared weights, and give an image the same z and dx.
 */
export interface Convolution {
  readonly method: "direct" | "winograd";
  /** Zero border (pixels each side) of the input: [batch][height + 2b][width + 2b][inputs]. It is never written. */
  readonly inputBorder: number;
  /** Zero border of the output's gradient: [batch][outHeight + 2g][outWidth + 2g][outputs]. */
  readonly gradientBorder: number;
  /** Bytes of workspace; layers may share it, as nothing in it outlives a call. */
  readonly scratchBytes: number;
  /** Bytes of the layer's own prepared weights. */
  readonly packedBytes: number;
  /** Bytes to leave behind every buffer: they are read, never written, and their content does not matter. */
  readonly slackBytes: number;
  /** Prepares weights [kernel][kernel][inputs][outputs]; to be called after each update. */
  prepare(weights: number, packed: number): void;
  /** z [batch][outHeight][outWidth][outputs] = convolution of x, plus bias [outputs] if its address is not 0. */
  forward(x: number, packed: number, bias: number, z: number, scratch: number): void;
  /** dx [batch][height][width][inputs], overwritten. */
  inputGradient(dz: number, packed: number, dx: number, scratch: number): void;
  /** dw [kernel][kernel][inputs][outputs], overwritten: the sum over the shard. */
  weightGradient(x: number, dz: number, dw: number, scratch: number): void;
}

/** Rows (or columns) of the result. */
export const sideOf = (size: number, { kernel, stride, padding }: ConvolutionShape): number =>
  outputAlong(size, kernel, stride, padding);

/** Words in the reserved region for a bias. */
const MAX_CHANNELS = 200_000;

/** @throws {RangeError} if the shape is impossible */
export function checkShape(shape: ConvolutionShape): void {
  const { batch, height, width, inputs, outputs, kernel, stride, padding } = shape;
  for (const [name, value] of Object.entries({ batch, height, width, inputs, outputs, kernel, stride })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(`convolution: ${name} must be a positive integer, got ${value}`);
    }
  }
  if (!Number.isInteger(padding) || padding < 0) {
    throw new RangeError(`convolution: padding must be an integer of at least 0, got ${padding}`);
  }
  if (sideOf(height, shape) < 1 || sideOf(width, shape) < 1) {
    throw new RangeError(
      `convolution: kernel ${kernel} does not fit the image ${height}x${width} with padding ${padding}`,
    );
  }
  if (Math.max(inputs, outputs) > MAX_CHANNELS) {
    throw new RangeError(
      `convolution: at most ${MAX_CHANNELS} channels, got ${inputs} and ${outputs}`,
    );
  }
}

/** Over-reads of the last vectors of 8 words. */
export const SLACK_BYTES = 64;

export const roundUp = (n: number, multiple: number): number => Math.ceil(n / multiple) * multiple;
/** Bytes of panels for `columns` outputs and `rows` words each. */
export const panelBytes = (rows: number, columns: number): number => 4 * rows * roundUp(columns, 4);

/** Byte steps of an NHWC buffer with a border, and the offset of pixel (0, 0) of image 0. */
export interface Layout {
  readonly column: number;
  readonly row: number;
  readonly image: number;
  readonly origin: number;
}

export function layout(height: number, width: number, channels: number, border: number): Layout {
  const column = channels * 4, row = (width + 2 * border) * column, image = (height + 2 * border) * row;
  return { column, row, image, origin: border * (row + column) };
}

/** Byte steps as a kernel takes them, `<name>Image`, `<name>Row`, `<name>Column`, from one to the `stride`-th next pixel. */
export const steps = <Name extends string>(
  name: Name,
  { image, row, column }: Omit<Layout, "origin">,
  stride = 1,
) =>
  ({ [`${name}Image`]: image, [`${name}Row`]: row * stride, [`${name}Column`]: column * stride }) as Readonly<
    Record<`${Name}${"Image" | "Row" | "Column"}`, number>
  >;

/** Where all pixels lie in one row, `column` bytes apart. */
export const inLine = (column: number) => ({ image: 0, row: 0, column });

/** Of a product that comes singly. */
export const ONE_PLANE = { planes: 1, xPlane: 0, wPlane: 0, yPlane: 0 };
