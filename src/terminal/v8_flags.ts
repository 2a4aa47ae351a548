/** Flags of V8 that make kernels faster and take the bounds checks of all WebAssembly away; see `--fast-kernels`, `train:turbo`. */
export const FAST_KERNEL_FLAGS = ["--no-wasm-bounds-checks", "--experimental-wasm-revectorize"] as const;

/** The same as an argument of `deno run`. */
export const FAST_KERNELS = `--v8-flags=${FAST_KERNEL_FLAGS.join()}`;
