/**
 * `deno task build`: compiles the AssemblyScript kernels to `build/<subject>_<module>.wasm` when they are missing
 * or stale. A module is a file `src/<subject>/kernels/<module>.ts` (AssemblyScript), or `<module>.gen.ts` (a
 * TypeScript generator whose default export returns AssemblyScript text: unrolled kernels are too long to write by
 * hand). Files that start with `_` are helpers. A module's first lines may add compiler options:
 * `// asc: -O0 --enable relaxed-simd`.
 *
 * Every module imports its memory (`env.memory`) and declares the first 16 pages of it: accesses to constant
 * addresses below 1 MiB then need no bounds check. Fresh builds cost a few milliseconds and load no compiler;
 * two processes may build at once (outputs are written under a temporary name, then renamed).
 */
import { fileURLToPath } from "node:url";
import { replaceFile } from "../files/replace_file.ts";
import { sha256 } from "../files/sha256.ts";

const ROOT = new URL("../../", import.meta.url);
const OUTPUT = new URL("build/", ROOT);
const OPTIONS = ["--noAssert", "--runtime", "stub", "--use", "abort=", "--enable", "simd"];
const MEMORY = ["--importMemory", "--initialMemory", "16", "--maximumMemory", "65536"];

interface Module {
  readonly name: string;
  readonly url: URL;
  readonly text: string;
  /** Changes with anything that can change the compiled bytes. */
  readonly fingerprint: string;
}

/** Compiles what is missing or stale and returns the names of the modules compiled. */
export async function build(): Promise<string[]> {
  const stale = (await findModules()).filter((module) => !isFresh(module));
  if (stale.length === 0) return [];
  const started = performance.now();
  Deno.mkdirSync(OUTPUT, { recursive: true });
  for (const module of stale) await compile(module);
  const names = stale.map((module) => module.name);
  // Not on standard output, where the task that built first may print JSON.
  console.error(
    `build: compiled ${names.join(", ")} (${((performance.now() - started) / 1000).toFixed(1)} s)`,
  );
  return names;
}

async function findModules(): Promise<Module[]> {
  const configuration = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  const compiler = configuration.imports["assemblyscript/asc"];
  const modules: Module[] = [];
  for (const subject of Deno.readDirSync(new URL("src/", ROOT))) {
    const folder = new URL(`src/${subject.name}/kernels/`, ROOT);
    const files = listFiles(folder).filter((file) => file.endsWith(".ts")).sort();
    const helpers = files.filter((file) => file.startsWith("_"))
      .map((file) => Deno.readTextFileSync(new URL(file, folder)));
    for (const file of files.filter((file) => !file.startsWith("_"))) {
      const url = new URL(file, folder);
      const text = Deno.readTextFileSync(url);
      const fingerprint = await sha256([compiler, ...OPTIONS, ...MEMORY, text, ...helpers].join("\0"));
      modules.push({ name: `${subject.name}_${file.split(".")[0]}`, url, text, fingerprint });
    }
  }
  return modules;
}

function listFiles(folder: URL): string[] {
  try {
    return [...Deno.readDirSync(folder)].filter((entry) => entry.isFile).map((entry) => entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return [];
    throw error;
  }
}

const wasmFile = (module: Module) => new URL(`${module.name}.wasm`, OUTPUT);
const stampFile = (module: Module) => new URL(`${module.name}.stamp`, OUTPUT);

function isFresh(module: Module): boolean {
  try {
    Deno.statSync(wasmFile(module));
    return Deno.readTextFileSync(stampFile(module)) === module.fingerprint;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function compile(module: Module): Promise<void> {
  const isGenerated = module.url.pathname.endsWith(".gen.ts");
  const source: string = isGenerated ? (await import(module.url.href)).default() : module.text;
  const directive = /^\/\/ asc:(.*)$/m.exec(source)?.[1]?.trim().split(/\s+/) ?? [];
  const { default: asc } = await import("assemblyscript/asc");
  const folder = new URL("./", module.url);
  const outputs = new Map<string, Uint8Array>();
  const entry = `${module.name}.ts`;
  const result = await asc.main(
    [
      entry,
      ...OPTIONS,
      ...MEMORY,
      ...(directive.some((option) => option.startsWith("-O")) ? [] : ["-O3"]),
      ...directive,
      "--outFile",
      "out.wasm",
    ],
    {
      readFile: (file: string) => file === entry ? source : readOptional(new URL(file, folder)),
      writeFile: (file: string, contents: Uint8Array | string) => {
        outputs.set(file, typeof contents === "string" ? new TextEncoder().encode(contents) : contents);
      },
      listFiles: () => [],
    },
  );
  const bytes = outputs.get("out.wasm");
  if (result.error || !bytes) {
    throw new Error(`${fileURLToPath(module.url)} does not compile:\n${result.stderr}`, {
      cause: result.error,
    });
  }
  replaceFile(fileURLToPath(wasmFile(module)), bytes);
  replaceFile(fileURLToPath(stampFile(module)), module.fingerprint);
}

function readOptional(url: URL): string | null {
  try {
    return Deno.readTextFileSync(url);
  } catch {
    return null; // the compiler tries several names for an import
  }
}

if (import.meta.main) {
  await build().catch(({ message, code }) => {
    const isRefused = ["EACCES", "EPERM", "EROFS", "ENOSPC", "ENOTDIR", "EEXIST"].includes(code);
    console.error(`error: ${isRefused ? `the kernels cannot be written to build/: ${message}` : message}`);
    Deno.exit(1);
  });
}
