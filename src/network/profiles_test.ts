import { assertEquals, assertThrows } from "@std/assert";
import { NETWORK_PROFILES, networkProfile } from "./profiles.ts";

Deno.test("networkProfile() finds every profile by its name", () => {
  for (const profile of NETWORK_PROFILES) assertEquals(networkProfile(profile.name), profile);
  assertEquals(networkProfile("wan").rttMs, 100);
});

Deno.test("networkProfile() makes profiles of any round-trip time", () => {
  const { rttMs, bitsPerSecond } = networkProfile("rtt:0.25");
  assertEquals([rttMs, bitsPerSecond], [0.25, null]);
  assertEquals(networkProfile("rtt:200").name, "rtt:200");
});

Deno.test("networkProfile() names the profiles there are", () => {
  for (const name of ["WAN", "rtt:", "rtt:-1", "rtt:1e3", "rtt:99999999"]) {
    assertThrows(
      () => networkProfile(name),
      RangeError,
      `"${name}" is no network profile; choose one of none, lan, wan-50ms, wan,`,
    );
  }
});
