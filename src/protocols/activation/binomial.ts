/** Binomial coefficients and small public tables in ring memory. */
import type { Ring } from "../../ring/ring.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";

/** n over k. */
export function binomial(n: number, k: number): bigint {
  let value = 1n;
  for (let i = 0; i < k; i++) value = value * BigInt(n - i) / BigInt(i + 1);
  return value;
}

/** A [rows][columns] table of public words. */
export function publicTable(
  ring: Ring,
  rows: number,
  columns: number,
  entry: (row: number, column: number) => bigint,
): RingTensor {
  const tensor = words(ring, rows * columns);
  tensor.int64.set(
    Array.from(
      { length: rows * columns },
      (_, i) => BigInt.asIntN(64, entry(Math.floor(i / columns), i % columns)),
    ),
  );
  return tensor;
}
