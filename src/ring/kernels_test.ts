import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { ElementwiseKernels } from "./kernels.ts";
import { Ring } from "./ring.ts";

// Every kernel against BigInt arithmetic on random words of full range. Sizes: empty, tails only, and one word more
// than a whole number of turns; a guard word behind each output shows writes past the end.

const ring = await Ring.open();
const kernels = ring.kernels;
const SIZES = [0, 1, 3, 1023, (1 << 16) + 1];
const GUARD = 0x0123456789abcdefn;

const mod64 = (value: bigint) => BigInt.asUintN(64, value);
const mod32 = (value: bigint) => BigInt.asUintN(32, value);

function words64(n: number): { address: number; words: BigUint64Array } {
  const address = ring.allocate((n + 1) * 8);
  const words = new BigUint64Array(ring.bytes.buffer, address, n + 1);
  fillRandom(new Uint8Array(ring.bytes.buffer, address, n * 8));
  words[n] = GUARD;
  return { address, words };
}

function words32(n: number): { address: number; words: Uint32Array } {
  const address = ring.allocate((n + 1) * 4);
  const words = new Uint32Array(ring.bytes.buffer, address, n + 1);
  fillRandom(new Uint8Array(ring.bytes.buffer, address, n * 4));
  words[n] = 0x89abcdef;
  return { address, words };
}

function fillRandom(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += 65536) {
    const part = new Uint8Array(Math.min(65536, bytes.length - at));
    crypto.getRandomValues(part);
    bytes.set(part, at);
  }
}

/** Checks every element near both ends and one in `step` between. */
function compare(
  words: { readonly [index: number]: bigint | number },
  n: number,
  want: (e: number) => bigint,
  label: string,
): void {
  const step = n > 5000 ? 37 : 1;
  for (let e = 0; e < n; e += e < 100 || e > n - 100 ? 1 : step) {
    const got = BigInt(words[e]);
    if (got !== want(e)) throw new Error(`${label}, n = ${n}, word ${e}: ${got} instead of ${want(e)}`);
  }
}

const C = 0xdeadbeefcafebabfn;
const signed = (value: bigint) => BigInt.asIntN(64, value);

type Unary = (k: ElementwiseKernels, a: number, out: number, n: number) => void;
const UNARY64: Record<string, [Unary, (a: bigint) => bigint]> = {
  addConstant64: [(k, a, out, n) => k.addConstant64(a, C, out, n), (a) => a + C],
  mulConstant64: [(k, a, out, n) => k.mulConstant64(a, C, out, n), (a) => a * C],
  xorConstant64: [(k, a, out, n) => k.xorConstant64(a, C, out, n), (a) => a ^ C],
  "shl64 by 13": [(k, a, out, n) => k.shl64(a, 13, out, n), (a) => a << 13n],
  "sar64 by 0": [(k, a, out, n) => k.sar64(a, 0, out, n), (a) => a],
  "sar64 by 12": [(k, a, out, n) => k.sar64(a, 12, out, n), (a) => signed(a) >> 12n],
  "sar64 by 63": [(k, a, out, n) => k.sar64(a, 63, out, n), (a) => signed(a) >> 63n],
};

it("addSar64 equals BigInt arithmetic, also in place", () => {
  for (const n of SIZES) {
    for (const bits of [0, 1, 22, 63]) {
      const a = words64(n), b = words64(n), out = words64(n), before = a.words.slice();
      const want = (e: number) => mod64(signed(mod64(before[e] + b.words[e])) >> BigInt(bits));
      kernels.addSar64(a.address, b.address, bits, out.address, n);
      compare(out.words, n, want, "addSar64");
      assertEquals(out.words[n], GUARD);
      kernels.addSar64(a.address, b.address, bits, a.address, n);
      compare(a.words, n, want, "addSar64 in place");
    }
  }
});

for (const [name, [run, reference]] of Object.entries(UNARY64)) {
  it(`${name} equals BigInt arithmetic, also in place`, () => {
    for (const n of SIZES) {
      const a = words64(n), out = words64(n), before = a.words.slice();
      run(kernels, a.address, out.address, n);
      compare(out.words, n, (e) => mod64(reference(before[e])), name);
      assertEquals(out.words[n], GUARD);
      run(kernels, a.address, a.address, n);
      compare(a.words, n, (e) => out.words[e], `${name} in place`);
      assertEquals(a.words[n], GUARD);
    }
  });
}

const BINARY64: Record<string, (a: bigint, b: bigint) => bigint> = {
  add64: (a, b) => a + b,
  sub64: (a, b) => a - b,
  mul64: (a, b) => a * b,
  xor64: (a, b) => a ^ b,
  and64: (a, b) => a & b,
};

for (const [name, reference] of Object.entries(BINARY64)) {
  it(`${name} equals BigInt arithmetic, also in place of either operand`, () => {
    const run = kernels[name as "add64"];
    for (const n of SIZES) {
      const a = words64(n), b = words64(n), out = words64(n), before = a.words.slice();
      run(a.address, b.address, out.address, n);
      compare(out.words, n, (e) => mod64(reference(a.words[e], b.words[e])), name);
      assertEquals(out.words[n], GUARD);
      run(a.address, b.address, a.address, n);
      compare(a.words, n, (e) => out.words[e], `${name} in place`);
      a.words.set(before);
      run(a.address, b.address, b.address, n);
      compare(b.words, n, (e) => out.words[e], `${name} in place of the second operand`);
      assertEquals(b.words[n], GUARD);
    }
  });
}

it("mulAdd64 and andXor64 accumulate", () => {
  for (const n of SIZES) {
    const acc = words64(n), a = words64(n), b = words64(n), before = acc.words.slice();
    kernels.mulAdd64(acc.address, a.address, b.address, n);
    compare(acc.words, n, (e) => mod64(before[e] + a.words[e] * b.words[e]), "mulAdd64");
    acc.words.set(before);
    kernels.andXor64(acc.address, a.address, b.address, n);
    compare(acc.words, n, (e) => before[e] ^ (a.words[e] & b.words[e]), "andXor64");
    assertEquals(acc.words[n], GUARD);
  }
});

const BINARY32: Record<string, (a: bigint, b: bigint) => bigint> = {
  add32: (a, b) => a + b,
  sub32: (a, b) => a - b,
};
const SHIFT32: Record<string, (a: bigint, bits: bigint) => bigint> = {
  shl32: (a, bits) => a << bits,
  sar32: (a, bits) => BigInt.asIntN(32, a) >> bits,
  shr32: (a, bits) => a >> bits,
};

for (const [name, reference] of Object.entries(BINARY32)) {
  it(`${name} equals BigInt arithmetic`, () => {
    for (const n of SIZES) {
      const a = words32(n), b = words32(n), out = words32(n);
      kernels[name as "add32"](a.address, b.address, out.address, n);
      compare(out.words, n, (e) => mod32(reference(BigInt(a.words[e]), BigInt(b.words[e]))), name);
      assertEquals(out.words[n], 0x89abcdef);
    }
  });
}

for (const [name, reference] of Object.entries(SHIFT32)) {
  it(`${name} equals BigInt arithmetic`, () => {
    for (const n of SIZES) {
      for (const bits of [0, 7, 31]) {
        const a = words32(n), out = words32(n);
        kernels[name as "shl32"](a.address, bits, out.address, n);
        compare(out.words, n, (e) => mod32(reference(BigInt(a.words[e]), BigInt(bits))), name);
        assertEquals(out.words[n], 0x89abcdef);
      }
    }
  });
}

it("polynomials64 evaluates every row up to degree 10", () => {
  for (const n of SIZES) {
    for (const [rows, degree] of n > 2000 ? [[3, 4]] : [[1, 0], [2, 1], [3, 2], [5, 4], [2, 7], [11, 10]]) {
      const x = words64(n), table = words64(rows * (degree + 1)), out = words64(rows * n);
      if (rows > 1) table.words.fill(0n, degree + 2, 2 * degree + 2); // a row with zeros at the top
      kernels.polynomials64(x.address, table.address, rows, degree, out.address, n);
      for (let row = 0; row < rows; row++) {
        compare(
          out.words.subarray(row * n),
          n,
          (e) => {
            let y = 0n;
            for (let k = degree; k >= 0; k--) {
              y = mod64(y * x.words[e] + table.words[row * (degree + 1) + k]);
            }
            return y;
          },
          `polynomials64 row ${row} of degree ${degree}`,
        );
      }
      assertEquals(out.words[rows * n], GUARD);
    }
  }
});

it("horner64 evaluates dealt words up to degree 10", () => {
  for (const n of SIZES) {
    for (const degree of n > 2000 ? [4] : [0, 1, 2, 3, 4, 5, 10]) {
      const u = words64(n), g = words64(degree * n), out = words64(n);
      kernels.horner64(u.address, g.address, degree, C, out.address, n);
      compare(out.words, n, (e) => {
        let y = C;
        for (let i = degree - 1; i >= 0; i--) y = mod64(y * u.words[e] + g.words[i * n + e]);
        return y;
      }, `horner64 of degree ${degree}`);
      assertEquals(out.words[n], GUARD);
      const kept = out.words.slice();
      kernels.horner64(u.address, g.address, degree, C, u.address, n);
      compare(u.words, n, (e) => kept[e], "horner64 in place");
    }
  }
});

it("bilinear64 adds the triangle of products up to 11 rows", () => {
  for (const n of SIZES) {
    for (const rows of n > 2000 ? [5] : [1, 2, 3, 4, 5, 6, 11]) {
      const a = words64(rows * n), b = words64(rows * n), table = words64(rows * rows), out = words64(n);
      const before = out.words.slice();
      kernels.bilinear64(a.address, b.address, table.address, rows, out.address, n);
      compare(out.words, n, (e) => {
        let sum = before[e];
        for (let i = 0; i < rows; i++) {
          for (let j = 0; i + j < rows; j++) {
            sum += table.words[i * rows + j] * a.words[i * n + e] * b.words[j * n + e];
          }
        }
        return mod64(sum);
      }, `bilinear64 of ${rows} rows`);
      assertEquals(out.words[n], GUARD);
    }
  }
});

it("bitPlanes64 transposes bits and bitsToWords64 spreads them", () => {
  for (const n of [0, 64, 640, 4096 + 64]) {
    const a = words64(n), planes = words64(n), spread = words64(n);
    kernels.bitPlanes64(a.address, planes.address, n);
    for (let i = 0; i < 64; i++) {
      const plane = planes.words.subarray(i * n / 64, (i + 1) * n / 64);
      for (let e = 0; e < n; e++) {
        assert((plane[e >> 6] >> BigInt(e & 63) & 1n) === (a.words[e] >> BigInt(i) & 1n));
      }
    }
    assertEquals(planes.words[n], GUARD);
    kernels.bitsToWords64(planes.address, spread.address, n);
    for (let e = 0; e < n; e++) assertEquals(spread.words[e], planes.words[e >> 6] >> BigInt(e & 63) & 1n);
    assertEquals(spread.words[n], GUARD);
  }
});

it("poolSum64 sums windows of odd and even channel counts", () => {
  for (
    const [height, width, channels, kernel, stride] of [[4, 6, 3, 2, 2], [5, 5, 4, 3, 1], [7, 7, 10, 7, 7], [
      8,
      8,
      1,
      3,
      2,
    ]] as const
  ) {
    const x = words64(height * width * channels);
    const outHeight = Math.floor((height - kernel) / stride) + 1,
      outWidth = Math.floor((width - kernel) / stride) + 1;
    const out = words64(outHeight * outWidth * channels);
    kernels.poolSum64(x.address, out.address, height, width, channels, kernel, stride);
    for (let y = 0; y < outHeight; y++) {
      for (let column = 0; column < outWidth; column++) {
        for (let c = 0; c < channels; c++) {
          let sum = 0n;
          for (let i = 0; i < kernel; i++) {
            for (let j = 0; j < kernel; j++) {
              sum += x.words[((y * stride + i) * width + column * stride + j) * channels + c];
            }
          }
          assertEquals(out.words[(y * outWidth + column) * channels + c], mod64(sum));
        }
      }
    }
    assertEquals(out.words[outHeight * outWidth * channels], GUARD);
  }
});

it("addRow64 repeats its row", () => {
  for (const n of SIZES) {
    for (const period of [1, 10, 64]) {
      const a = words64(n), row = words64(period), out = words64(n);
      kernels.addRow64(a.address, row.address, out.address, n, period);
      compare(out.words, n, (e) => mod64(a.words[e] + row.words[e % period]), "addRow64");
      assertEquals(out.words[n], GUARD);
    }
  }
});

it("kernels take addresses above 2 GiB", () => {
  const blocks: number[] = [];
  while (blocks.length < 5) blocks.push(ring.allocate(640 << 20)); // address space only: pages are never touched
  const a = blocks[4], out = a + 4096;
  assert(a > 2 ** 31);
  const words = new BigUint64Array(ring.bytes.buffer, a, 7);
  words.set([1n, 2n, 3n, 4n, 5n, 6n, 7n]);
  kernels.mul64(a, a, out, 7);
  assertEquals([...new BigUint64Array(ring.bytes.buffer, out, 7)], [1n, 4n, 9n, 16n, 25n, 36n, 49n]);
});
