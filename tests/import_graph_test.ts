/**
 * Imports point one way: ring <- random; ring, random, polynomial <- models, network <- correlations <- wires <- protocols <- inference;
 * all of them <- options, roles, bench, reproduction <- commands, and only commands know the experiments.
 */
import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";

/** Folders of `src/` that each folder may import from, besides itself: such as stand above it, so that there is no circle. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  files: [],
  ring: [],
  random: ["ring"],
  polynomial: [],
  network: [],
  models: ["ring", "random", "polynomial"],
  correlations: ["ring", "random", "network"],
  wires: ["ring", "network", "correlations"],
  protocols: ["ring", "random", "polynomial", "models", "network", "correlations", "wires"],
  inference: ["ring", "random", "polynomial", "models", "network", "correlations", "wires", "protocols"],
  onnx: ["polynomial", "models"],
  data: ["files", "ring", "polynomial", "models"],
  training: ["ring", "polynomial", "models", "data"],
  report: ["files"],
  terminal: [],
  folders: ["files", "models", "data", "report", "training"],
  options: [
    ...["polynomial", "network", "models", "protocols", "inference", "data", "training"],
    ...["terminal", "folders"],
  ],
  roles: ["ring", "network", "inference", "report", "terminal"],
  fuzzing: [
    ...["ring", "polynomial", "network", "models", "correlations", "inference", "data", "onnx", "roles"],
  ],
  bench: ["ring", "models", "training", "report"],
  reproduction: ["files", "network", "training", "report", "terminal", "folders"],
  documents: ["files", "protocols", "report", "terminal", "reproduction"],
  cli: [
    ...[
      "files",
      "ring",
      "polynomial",
      "network",
      "models",
      "protocols",
      "inference",
      "onnx",
      "data",
      "training",
      "report",
    ],
    ...[
      "terminal",
      "folders",
      "options",
      "roles",
      "fuzzing",
      "bench",
      "reproduction",
      "documents",
      "experiments",
    ],
  ],
};

/** Where the runtime's own interface may appear. */
const MAY_USE_DENO = [
  /^src\/network\/tcp\.ts$/,
  /^src\/onnx\/runtime/,
  /^src\/(files|data|documents|report|bench|cli|folders|fuzzing|options|reproduction|roles|terminal)\//,
];

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(new URL(`../${folder}`, import.meta.url))) {
    const path = `${folder}/${name}`;
    if (path === "src/ring/kernels" || path === "src/training/kernels") continue;
    if (isDirectory) yield* sources(path);
    else if (name.endsWith(".ts")) yield path;
  }
}

const read = (path: string) => Deno.readTextFile(new URL(`../${path}`, import.meta.url));
const importsOf = (text: string) =>
  [...text.replace(/^ *\*.*$/gm, "").matchAll(/(?:from|import\()\s*"([^"]+)"/g)].map(([, specifier]) =>
    specifier
  );
const isTest = (path: string) => /_test\.ts$|\/testdata\/|\/_/.test(path);

it("every folder of src is in the table, and may import only what stands above it", async () => {
  const folders = Object.keys(MAY_IMPORT), there: string[] = [];
  for await (const { name } of Deno.readDir(new URL("../src", import.meta.url))) there.push(name);
  assertEquals(folders.toSorted(), there.toSorted());
  for (const [i, folder] of folders.entries()) {
    const below = MAY_IMPORT[folder].filter((name) => folders.indexOf(name) >= i);
    assertEquals(below, [], `${folder} stands above what it may import`);
  }
});

it("src/cli holds the commands of deno.json and nothing else", async () => {
  const { tasks } = JSON.parse(await read("deno.json"));
  const commands = Object.values<{ command: string }>(tasks).flatMap(({ command }) =>
    command.match(/src\/cli\/\w+\.ts/g) ?? []
  );
  const files = (await Array.fromAsync(sources("src/cli"))).filter((path) => !isTest(path));
  assertEquals(files.toSorted(), [...new Set(commands)].toSorted());
});

it("the folders of src import each other in one direction only", async () => {
  const wrong: string[] = [];
  for await (const path of sources("src")) {
    const folder = path.split("/")[1];
    if (isTest(path)) continue;
    for (const specifier of importsOf(await read(path))) {
      const target = new URL(specifier, `file:///${path}`).pathname.split("/");
      const room = target[1] === "src" ? target[2] : target[1];
      if (!specifier.startsWith(".") || room === folder) continue;
      if (!MAY_IMPORT[folder].includes(room)) wrong.push(`${path} imports ${specifier}`);
    }
  }
  assertEquals(wrong, []);
});

it("no file of src imports itself through others, types included", async () => {
  const imports = new Map<string, string[]>();
  for await (const path of sources("src")) {
    if (isTest(path)) continue;
    const targets = importsOf(await read(path)).filter((specifier) => specifier.startsWith("."));
    imports.set(path, targets.map((specifier) => new URL(specifier, `file:///${path}`).pathname.slice(1)));
  }
  const circles: string[] = [], done = new Set<string>();
  const walk = (path: string, above: readonly string[]) => {
    if (above.includes(path)) {
      circles.push([...above.slice(above.indexOf(path)), path].join(" -> "));
      return;
    }
    if (done.has(path)) return;
    for (const target of imports.get(path) ?? []) walk(target, [...above, path]);
    done.add(path);
  };
  for (const path of imports.keys()) walk(path, []);
  assertEquals(circles, []);
});

/**
 * Which protocol is the default, which options one takes, what it reads: its registry entry says so. A name that is compared anywhere else, or
 * a width of a wire that chooses code, would be one more house beside the common one.
 */
it("outside protocols, ring and wires no code asks for a protocol's name or the width of a wire", async () => {
  const wrong: string[] = [];
  const names =
    /[!=]==? *"(lifted|honeybadger|espn|tree|beaver|masked)"|"(lifted|honeybadger|espn|tree|beaver|masked)" *[!=]==?/;
  const widths = /[wW]idth *[!=]==? *(32|64)\b/;
  // "relu" is a function too; claims and experiments pick rows of what they measure.
  for (
    const folder of [
      "src/correlations",
      "src/inference",
      "src/cli",
      "src/options",
      "src/roles",
      "src/data",
      "src/models",
    ]
  ) {
    for await (const path of sources(folder)) {
      if (isTest(path)) continue;
      const code = (await read(path)).replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
      for (const line of code.split("\n")) {
        if (names.test(line) || (!/bench/.test(path) && widths.test(line))) {
          wrong.push(`${path}: ${line.trim()}`);
        }
      }
    }
  }
  assertEquals(wrong, []);
});

it("Deno appears only where the design allows it", async () => {
  const wrong: string[] = [];
  for await (const path of sources("src")) {
    if (isTest(path) || MAY_USE_DENO.some((pattern) => pattern.test(path))) continue;
    const code = (await read(path)).replace(/\/\*[\s\S]*?\*\/|\/\/.*|"[^"\n]*"|`[^`]*`/g, "");
    if (/\bDeno\b/.test(code)) wrong.push(path);
  }
  assertEquals(wrong, []);
});

it("experiments use mod.ts, the engine that runs them and the report", async () => {
  const wrong: string[] = [];
  for await (const path of sources("experiments")) {
    for (const specifier of importsOf(await read(path))) {
      if (
        specifier.startsWith("../src/") && !isTest(path.replace(/\/_/, "/")) &&
        !/^\.\.\/src\/(files|report|reproduction)\//.test(specifier)
      ) {
        wrong.push(`${path} imports ${specifier}`);
      }
    }
  }
  assertEquals(wrong, []);
});

it("no share is ever made with Math.random", async () => {
  const wrong: string[] = [];
  for (
    const folder of [
      "src/ring",
      "src/random",
      "src/correlations",
      "src/wires",
      "src/protocols",
      "src/inference",
      "src/network",
    ]
  ) {
    for await (const path of sources(folder)) {
      if (!isTest(path) && /Math\s*\.\s*random/.test(await read(path))) wrong.push(path);
    }
  }
  assertEquals(wrong, []);
});
