/** Ownership of ring memory: who must dispose of words before they are given back. */
import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { Ring } from "./ring.ts";
import { RingTensor, words } from "./tensor.ts";

const ring = await Ring.open();

it("a tensor is given back when its last owner has disposed of it", () => {
  const before = ring.bytesInUse, tensor = words(ring, 100), block = ring.bytesInUse - before;
  const kept = tensor.retain();
  tensor[Symbol.dispose]();
  assertEquals(ring.bytesInUse, before + block);
  kept[Symbol.dispose]();
  assertEquals(ring.bytesInUse, before);
  // Once more is nobody's fault, and gives back nothing else.
  kept[Symbol.dispose]();
  assertEquals(ring.bytesInUse, before);
});

it("views and tensors that were given back are not retained", () => {
  const tensor = words(ring, 100);
  assertThrows(() => tensor.view(0, 10).retain(), RangeError, "not retained");
  tensor[Symbol.dispose]();
  assertThrows(() => tensor.retain(), RangeError, "not retained");
});

it("reading words at another scale moves all owners to the result", () => {
  const before = ring.bytesInUse, tensor = new RingTensor(ring, 32, 100), moved = tensor.withFractionBits(13);
  assertEquals([moved.fractionBits, moved.address], [13, tensor.address]);
  tensor[Symbol.dispose]();
  moved[Symbol.dispose]();
  assertEquals(ring.bytesInUse, before);
});
