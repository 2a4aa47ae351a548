/** Exact matrix products modulo 2^32 and 2^64: a 1x1 convolution whose pixels are the rows of the left operand. */
import { Convolution, type ConvolutionOptions } from "./convolution.ts";
import type { Ring } from "./ring.ts";
import type { Width } from "./tensor.ts";

/** Sizes of C[rows, columns] = A[rows, inner] * B[inner, columns]. */
export interface MatmulSpec {
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
}

/** Products with one right operand, which is prepared once. */
export class PreparedMatmul<W extends Width> implements Disposable {
  readonly #convolution: Convolution<W>;

  /** `b`: address of the words [inner, columns], no longer needed afterwards. */
  constructor(ring: Ring, width: W, spec: MatmulSpec, b: number, options: ConvolutionOptions = {}) {
    this.#convolution = new Convolution(
      ring,
      width,
      {
        height: 1,
        width: spec.rows,
        inputs: spec.inner,
        kernel: 1,
        stride: 1,
        padding: 0,
        outputs: spec.columns,
      },
      b,
      options,
    );
  }

  /** From words [rows, inner] at `a` to words [rows, columns] at `c`. */
  run(a: number, c: number): void {
    this.#convolution.run(a, c);
  }

  [Symbol.dispose](): void {
    this.#convolution[Symbol.dispose]();
  }
}

/** One product: words [rows, inner] at `a` times words [inner, columns] at `b` to `c`. */
export function matmul(ring: Ring, width: Width, spec: MatmulSpec, a: number, b: number, c: number): void {
  using product = new PreparedMatmul(ring, width, spec, b);
  product.run(a, c);
}
