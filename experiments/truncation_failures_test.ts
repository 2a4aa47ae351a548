import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { Ring } from "../mod.ts";
import { countLiftedFailures } from "./truncation_failures.ts";

const ring = await Ring.open();

for (const ringBits of [30, 24, 20]) {
  it(`lifted with ${ringBits} ring bits has no failure at the limit of the ring, and the count sees those beyond it`, async () => {
    assertEquals(await countLiftedFailures(ring, ringBits, 16, 8192, 4096), 0);
    assertEquals(await countLiftedFailures(ring, ringBits, 2, 8192, 4096), 0);
    assert(await countLiftedFailures(ring, ringBits, 17, 8192, 4096) > 10);
  });
}
