import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { ACTIVATION_PROTOCOLS } from "../protocols/registry.ts";
import { isOnSmallRing, isRefusedByAudit } from "./small_rings.ts";

it("protocols on small rings are those that the registry gives ring bits", () => {
  for (const { name, takes } of ACTIVATION_PROTOCOLS) {
    assertEquals(isOnSmallRing(name), takes.includes("ringBits"), name);
  }
});

it("the audit refuses a network for every protocol on a small ring, and for none on 64-bit words", () => {
  for (const { name, takes } of ACTIVATION_PROTOCOLS) {
    const refused = (audited: string) => isRefusedByAudit({ protocol: name, audited });
    assertEquals([refused("true"), refused("false")], [false, takes.includes("ringBits")], name);
  }
});
