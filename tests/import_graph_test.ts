/**
 * Imports point one way: ring <- random; ring, random, polynomial <- models, network <- correlations <- wires <- protocols <- inference;
 * all of them <- options, roles, bench, reproduction <- commands, and only commands know the experiments.
 */
import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { ACTIVATION_PROTOCOLS, LINEAR_PROTOCOLS } from "../src/protocols/registry.ts";

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
  roles: ["files", "ring", "network", "inference", "report", "terminal"],
  fuzzing: [
    ...["ring", "polynomial", "network", "models", "correlations", "inference", "data", "onnx", "roles"],
  ],
  bench: ["ring", "models", "onnx", "training", "report"],
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
      // Of the experiments the list of them alone, which names no single one.
      const isAllowed = room !== "experiments" || target.slice(1).join("/") === "experiments/mod.ts";
      if (!MAY_IMPORT[folder].includes(room) || !isAllowed) wrong.push(`${path} imports ${specifier}`);
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

/** Functions, constants and classes by name, and the files that export them; the words of every file that may read them. */
async function exported(): Promise<{ names: Map<string, string[]>; words: Map<string, Set<string>> }> {
  const names = new Map<string, string[]>(), words = new Map<string, Set<string>>();
  const export_ = /^export (?:async )?(?:const|function\*?|class) (\w+)/gm;
  for (const folder of ["src", "experiments", "tests"]) {
    for await (const path of sources(folder)) {
      const code = (await read(path)).replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
      words.set(path, new Set(code.match(/\w+/g)));
      if (isTest(path) || folder === "tests") continue;
      for (const [, name] of code.matchAll(export_)) names.set(name, [...names.get(name) ?? [], path]);
    }
  }
  words.set("mod.ts", new Set((await read("mod.ts")).match(/\w+/g)));
  return { names, words };
}

it("nothing is exported that no other file reads", async () => {
  const { names, words } = await exported(), published = await read("mod.ts"), dead: string[] = [];
  for (const [name, files] of names) {
    for (const file of files) {
      // Numbers of a protocol stand in one list: `export const END = 0, PREPARE = 1, RUN = 2`.
      const list = new RegExp(`^export const ${name} = [^,]*((?:, \\w+ = [^,]*)+);$`, "m").exec(
        await read(file),
      );
      const all = [name, ...list?.[1].match(/(?<=, )\w+/g) ?? []];
      const isRead = [...words].some(([path, found]) => path !== file && all.some((one) => found.has(one)));
      if (!isRead && !published.includes(`export * from "./${file}"`)) dead.push(`${file}: ${name}`);
    }
  }
  assertEquals(dead, []);
});

/** What several engines compute, each in its own way. */
const OF_EVERY_ENGINE = [
  ...["add", "batchNorm", "convolve", "copy", "crossEntropy", "differentiate", "maxPool", "penaltyOf"],
  ...["planConvolution", "update"],
];

it("a name is one function, but for what every engine computes and the words of the two worker pools", async () => {
  const double = [...(await exported()).names].filter(([name, files]) =>
    files.length > 1 && !OF_EVERY_ENGINE.includes(name) &&
    !files.every((file) => /(pool|shard)_protocol\.ts$/.test(file))
  );
  assertEquals(double, []);
});

/**
 * Which protocol is the default, which options one takes, what it reads: its registry entry says so. A name that is compared anywhere else, or
 * a width of a wire that chooses code, would be one more house beside the common one.
 */
it("outside protocols, ring and wires no code asks for a protocol's name or the width of a wire", async () => {
  const wrong: string[] = [];
  // These two are kinds of functions too.
  const functions = ["relu", "trigonometric"];
  const protocols = [...ACTIVATION_PROTOCOLS, ...LINEAR_PROTOCOLS].map(({ name }) => name)
    .filter((name) => !functions.includes(name));
  const quoted = `"(${protocols.join("|")})"`,
    names = new RegExp(`[!=]==? *${quoted}|${quoted} *[!=]==?`);
  const widths = /[wW]idth *[!=]==? *(32|64)\b/;
  // Claims and experiments pick rows of what they measure.
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

it("experiments use mod.ts, the engine that runs them, the gauge, the report, and what a stored recipe leaves unsaid", async () => {
  const wrong: string[] = [];
  for await (const path of sources("experiments")) {
    for (const specifier of importsOf(await read(path))) {
      if (
        specifier.startsWith("../src/") && !isTest(path.replace(/\/_/, "/")) &&
        !/^\.\.\/src\/((files|report|bench|reproduction)\/|training\/recipe\.ts$)/.test(specifier)
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
