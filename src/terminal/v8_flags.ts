/**
 * Has V8 join two vectors of 128 bits that are treated alike and lie side by side to one of 256 ("revectorize"), where kernels are
 * written so that it can: ChaCha20 is 2.1 times as fast, products of 32-bit words 1.5 times, not a bit of the results is another, and
 * every bounds check stays. An experimental pass, which only V8 for x86-64 knows; others refuse the flag.
 */
export const REVECTORIZE: readonly string[] = Deno.build.arch === "x86_64"
  ? ["--experimental-wasm-revectorize"]
  : [];

/**
 * For server and dealer, which stay: V8's young objects get 4 MB from the first second on. Left alone they get more in the course of
 * minutes: a server of MiniONN-BN with two clients, beside others that die, took 168 MB after two minutes, 186 after seven. With less,
 * what TLS has read grows old before it is free, and stays: after 8 s of small messages as fast as a peer can send them a dealer took 394
 * MB with 1 MB, 134 with 2, 81 with 4.
 */
export const SERVICE: readonly string[] = ["--min-semi-space-size=4", "--max-semi-space-size=4"];

/** Makes the trainer faster and takes the bounds checks of all WebAssembly away; see `train:turbo`. */
export const TURBO = ["--no-wasm-bounds-checks", "--experimental-wasm-revectorize"] as const;

/** Flags of V8 as arguments of `deno run`. */
export const v8Arguments = (flags: readonly string[]): string[] =>
  flags.length === 0 ? [] : [`--v8-flags=${flags.join()}`];
