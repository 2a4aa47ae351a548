/** How the public code, whose measurements are `results/reference/public_code.csv`, calls the protocols. */
export const PUBLIC_PROTOCOLS: Readonly<Record<string, string>> = {
  relu: "exact",
  tree: "crypten",
  honeybadger: "honeybadger",
  espn: "espn",
};
