/** Eigenvectors of a symmetric matrix by Jacobi's rotations: slow, short, and the same bits on every machine. */

const SWEEPS = 30;

/**
 * Unit eigenvectors, that of the largest eigenvalue first.
 *
 * @param matrix [size, size] row-major, symmetric
 */
export function principalDirections(matrix: Float64Array, size: number): Float64Array[] {
  const a = matrix.slice(),
    vectors = Array.from({ length: size }, (_, k) => {
      const unit = new Float64Array(size);
      unit[k] = 1;
      return unit;
    });
  const scale = a.reduce((sum, v) => sum + v * v, 0);
  for (let sweep = 0; sweep < SWEEPS && offDiagonal(a, size) > 1e-28 * scale; sweep++) {
    for (let p = 0; p < size; p++) for (let q = p + 1; q < size; q++) rotate(a, size, vectors, p, q);
  }
  const values = vectors.map((_, k) => a[k * size + k]);
  return vectors.map((vector, k) => ({ vector, value: values[k] }))
    .sort((x, y) => y.value - x.value).map(({ vector }) => vector);
}

function offDiagonal(a: Float64Array, size: number): number {
  return a.reduce((sum, v, i) => Math.floor(i / size) === i % size ? sum : sum + v * v, 0);
}

/** Turns axes p and q so that a[p, q] becomes 0. */
function rotate(a: Float64Array, size: number, vectors: readonly Float64Array[], p: number, q: number): void {
  const off = a[p * size + q];
  if (off === 0) return;
  const ratio = (a[q * size + q] - a[p * size + p]) / (2 * off);
  const tangent = (ratio < 0 ? -1 : 1) / (Math.abs(ratio) + Math.sqrt(1 + ratio * ratio));
  const cosine = 1 / Math.sqrt(1 + tangent * tangent), sine = tangent * cosine;
  for (let k = 0; k < size; k++) {
    const x = a[k * size + p], y = a[k * size + q];
    a[k * size + p] = cosine * x - sine * y;
    a[k * size + q] = sine * x + cosine * y;
  }
  for (let k = 0; k < size; k++) {
    const x = a[p * size + k], y = a[q * size + k];
    a[p * size + k] = cosine * x - sine * y;
    a[q * size + k] = sine * x + cosine * y;
  }
  const u = vectors[p], v = vectors[q];
  for (let k = 0; k < size; k++) {
    const x = u[k], y = v[k];
    u[k] = cosine * x - sine * y;
    v[k] = sine * x + cosine * y;
  }
}
