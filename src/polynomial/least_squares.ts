/** Least squares on powers of x by Householder's QR, well conditioned because the columns are powers of x / range. */

/** An overdetermined system in triangular form: the sum of squares is |rhs - R c|^2 + residual. */
export interface TriangularSystem {
  /** R, upper triangular, [degree + 1][degree + 1]; column k belongs to the coefficient of x^k. */
  readonly r: readonly Float64Array[];
  readonly rhs: Float64Array;
  /** What no choice of coefficients can remove. */
  readonly residual: number;
}

/**
 * The sum over j of weight_j (sum over k of c_k x_j^k - y_j)^2 as a triangular system in c. On [-range, range] the powers of x / range
 * have a condition number below 10^5 up to degree 10, so doubles leave eleven digits.
 */
export function triangularSystem(
  x: Float64Array,
  y: Float64Array,
  weights: Float64Array,
  degree: number,
): TriangularSystem {
  const rows = x.length, columns = degree + 1, range = x.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
  const root = weights.map(Math.sqrt);
  // Columns of the matrix, the right-hand side last.
  const a = Array.from(
    { length: columns },
    (_, k) => Float64Array.from(x, (v, j) => root[j] * (v / range) ** k),
  );
  a.push(y.map((v, j) => v * root[j]));
  for (let k = 0; k < columns; k++) reflect(a, k, rows);
  const r = Array.from(
    { length: columns },
    (_, row) => Float64Array.from({ length: columns }, (_, k) => k < row ? 0 : a[k][row] * range ** k),
  );
  const rest = a[columns].subarray(columns).reduce((sum, v) => sum + v * v, 0);
  return { r, rhs: a[columns].slice(0, columns), residual: rest };
}

/** Householder's reflection that clears column k below the diagonal, applied to all later columns. */
function reflect(a: Float64Array[], k: number, rows: number): void {
  const column = a[k];
  let norm = 0;
  for (let j = k; j < rows; j++) norm += column[j] ** 2;
  norm = Math.sqrt(norm);
  const v = column.slice(k);
  v[0] += v[0] >= 0 ? norm : -norm;
  const scale = 2 / v.reduce((sum, w) => sum + w * w, 0);
  for (let c = k; c < a.length; c++) {
    let dot = 0;
    for (let j = k; j < rows; j++) dot += v[j - k] * a[c][j];
    for (let j = k; j < rows; j++) a[c][j] -= scale * dot * v[j - k];
  }
}

/** The real coefficients that minimise the sum, by back substitution. */
export function solve({ r, rhs }: TriangularSystem): Float64Array {
  const c = new Float64Array(rhs.length);
  for (let k = rhs.length - 1; k >= 0; k--) {
    let sum = rhs[k];
    for (let i = k + 1; i < rhs.length; i++) sum -= r[k][i] * c[i];
    c[k] = sum / r[k][k];
  }
  return c;
}
