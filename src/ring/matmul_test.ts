import { assertEquals } from "@std/assert";
import { matmul, PreparedMatmul } from "./matmul.ts";
import { Ring } from "./ring.ts";

const ring = await Ring.open();

for (const width of [64, 32] as const) {
  Deno.test(`matmul modulo 2^${width} equals BigInt arithmetic`, () => {
    for (
      const [rows, inner, columns] of [[1, 1, 1], [3, 70, 11], [1, 512, 10], [40, 64, 64], [
        7,
        33,
        3,
      ]] as const
    ) {
      const bytes = width / 8;
      const [a, b, c] = [rows * inner, inner * columns, rows * columns].map((n) => {
        const address = ring.allocate(n * bytes);
        crypto.getRandomValues(new Uint8Array(ring.bytes.buffer as ArrayBuffer, address, n * bytes));
        const words = width === 64
          ? new BigUint64Array(ring.bytes.buffer, address, n)
          : new Uint32Array(ring.bytes.buffer, address, n);
        return { address, words };
      }) as [Operand, Operand, Operand];
      matmul(ring, width, { rows, inner, columns }, a.address, b.address, c.address);
      const once = c.words.slice();
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          let sum = 0n;
          for (let k = 0; k < inner; k++) {
            sum += BigInt(a.words[row * inner + k]!) * BigInt(b.words[k * columns + column]!);
          }
          assertEquals(BigInt(c.words[row * columns + column]!), BigInt.asUintN(width, sum));
        }
      }
      using prepared = new PreparedMatmul(ring, width, { rows, inner, columns }, b.address);
      prepared.run(a.address, c.address);
      assertEquals(c.words, once);
    }
  });
}

interface Operand {
  readonly address: number;
  readonly words: BigUint64Array | Uint32Array;
}
