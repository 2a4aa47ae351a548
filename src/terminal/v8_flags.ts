/**
 * Has V8 join two vectors of 128 bits that are treated alike and lie side by side to one of 256 ("revectorize"), where kernels are
 * written so that it can: ChaCha20 is 2.1 times as fast, products of 32-bit words 1.5 times, not a bit of the results is another, and
 * every bounds check stays. An experimental pass, which only V8 for x86-64 knows; others refuse the flag.
 */
export const REVECTORIZE: readonly string[] = Deno.build.arch === "x86_64"
  ? ["--experimental-wasm-revectorize"]
  : [];

/**
 * For server and dealer, which stay: V8's young objects get 1 MB. Left alone they get more in the course of minutes: a server of
 * MiniONN-BN with two clients, beside others that die, took 168 MB after two minutes, 186 after seven; with the flag 159 and 160. Ring
 * memory was 41 MB in both, from the first seconds on.
 */
export const SERVICE: readonly string[] = ["--max-semi-space-size=1"];

/** Makes the trainer faster and takes the bounds checks of all WebAssembly away; see `train:turbo`. */
export const TURBO = ["--no-wasm-bounds-checks", "--experimental-wasm-revectorize"] as const;

/** Flags of V8 as arguments of `deno run`. */
export const v8Arguments = (flags: readonly string[]): string[] =>
  flags.length === 0 ? [] : [`--v8-flags=${flags.join()}`];
