/** Networks as data: the ones that the paper and the systems it compares with were measured on. */

export interface NetworkProfile {
  readonly name: string;
  /** Round-trip time; one way takes half of it. */
  readonly rttMs: number;
  /** Bandwidth of each direction; `null` leaves it unlimited. */
  readonly bitsPerSecond: number | null;
  /** Where the figures come from. */
  readonly source: string;
}

export const NETWORK_PROFILES: readonly NetworkProfile[] = [
  { name: "none", rttMs: 0, bitsPerSecond: null, source: "unshaped" },
  { name: "lan", rttMs: 0.25, bitsPerSecond: null, source: "the paper's simulated LAN" },
  { name: "wan-50ms", rttMs: 50, bitsPerSecond: null, source: "the paper's middle point" },
  { name: "wan", rttMs: 100, bitsPerSecond: null, source: "the paper's simulated WAN" },
  { name: "lan-10gbit", rttMs: 0.25, bitsPerSecond: 10e9, source: "COINN's scripts" },
  { name: "wan-1gbit", rttMs: 100, bitsPerSecond: 1e9, source: "COINN's scripts" },
  { name: "lan-3gbit", rttMs: 0.3, bitsPerSecond: 3e9, source: "Cheetah's scripts" },
  { name: "wan-400mbit", rttMs: 40, bitsPerSecond: 400e6, source: "Cheetah's scripts" },
  { name: "wan-100mbit", rttMs: 80, bitsPerSecond: 100e6, source: "a home connection" },
];

/** A profile by name; `rtt:<ms>` is any round-trip time without a bandwidth limit, for sweeps. */
export function networkProfile(name: string): NetworkProfile {
  const known = NETWORK_PROFILES.find((profile) => profile.name === name);
  if (known !== undefined) return known;
  const custom = /^rtt:(\d+(?:\.\d+)?)$/.exec(name);
  if (custom !== null && Number(custom[1]) <= MAX_RTT_MS) {
    return { name, rttMs: Number(custom[1]), bitsPerSecond: null, source: "chosen round-trip time" };
  }
  const names = NETWORK_PROFILES.map((profile) => profile.name).join(", ");
  throw new RangeError(
    `"${name}" is no network profile; choose one of ${names}, or rtt:<ms> with at most ${MAX_RTT_MS} ms`,
  );
}

const MAX_RTT_MS = 10_000;
