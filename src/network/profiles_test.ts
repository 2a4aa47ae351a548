import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { NETWORK_PROFILES, networkProfile } from "./profiles.ts";

it("networkProfile() finds every profile by its name", () => {
  for (const profile of NETWORK_PROFILES) assertEquals(networkProfile(profile.name), profile);
  assertEquals(networkProfile("wan").rttMs, 100);
});

it("networkProfile() makes profiles of any round-trip time", () => {
  const { rttMs, bitsPerSecond } = networkProfile("rtt:0.25");
  assertEquals([rttMs, bitsPerSecond], [0.25, null]);
  assertEquals(networkProfile("rtt:200").name, "rtt:200");
});

it("networkProfile() names the profiles there are", () => {
  for (const name of ["WAN", "rtt:", "rtt:-1", "rtt:1e3", "rtt:99999999"]) {
    assertThrows(
      () => networkProfile(name),
      RangeError,
      `"${name}" is no network profile; choose one of none, lan, wan-50ms, wan,`,
    );
  }
});
