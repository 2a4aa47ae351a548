/** Compiled kernels as modules: `build/<subject>_<name>.wasm`, all of them in one memory. Modules can be posted to workers. */

/** Addresses below, 16 pages, are scratch of the kernels (constant-address panels): nothing in them outlives a call. */
export const RESERVED_BYTES = 1 << 20;

/** @throws {Error} if one is not there: they have not been built */
export const loadModules = (subject: string, names: readonly string[]): Promise<WebAssembly.Module[]> =>
  Promise.all(
    names.map((name) => loadModule(new URL(`../../build/${subject}_${name}.wasm`, import.meta.url))),
  );

async function loadModule(url: URL): Promise<WebAssembly.Module> {
  let bytes: ArrayBuffer;
  try {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`status ${response.status}`);
    bytes = await response.arrayBuffer();
  } catch (cause) {
    throw new Error(`cannot load the kernels ${url}; run \`deno task build\``, { cause });
  }
  return await WebAssembly.compile(bytes);
}

/** Kernels as they are exported, by position. */
export type KernelExports = Record<string, (...values: (number | boolean)[]) => void>;

/** Everything that the modules export, by name, in `memory`, which must have what is reserved. */
export async function instantiateModules<Kernels>(
  memory: WebAssembly.Memory,
  modules: readonly WebAssembly.Module[],
): Promise<Kernels> {
  const instances = await Promise.all(
    modules.map((module) => WebAssembly.instantiate(module, { env: { memory } })),
  );
  return Object.assign({}, ...instances.map(({ exports }) => exports)) as Kernels;
}

/** The same at once, for workers, which may block. */
export function instantiateModulesNow<Kernels>(
  memory: WebAssembly.Memory,
  modules: readonly WebAssembly.Module[],
): Kernels {
  const exports = modules.map((module) => new WebAssembly.Instance(module, { env: { memory } }).exports);
  return Object.assign({}, ...exports) as Kernels;
}
