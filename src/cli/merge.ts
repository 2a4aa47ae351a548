/** `deno task merge`: joins the parts of a run that was spread over machines with `--shard I/N`. */
import { sizes } from "../reproduction/experiment.ts";
import * as catalogue from "../../experiments/mod.ts";
import { runCommand } from "../terminal/command.ts";
import { writeDocuments } from "../documents/documents.ts";
import { ownFolder } from "../folders/own_folder.ts";
import { placesOf, presentRun, refuseCommitted } from "../reproduction/present.ts";
import { describeMachines, mergeShards, runFolder } from "../reproduction/runner.ts";
import { checkWritable } from "../folders/writable.ts";

await runCommand({
  name: "merge",
  summary: "join the CSVs of a sharded run, then draw and check as reproduce does",
  notes:
    "Copy the shard folders of all machines into runs/SIZE/ first, or name them with --from. Nothing is " +
    "written if a cell is missing, is there twice, or belongs to another run.",
  time: "seconds",
  examples: ["merge --size full", "merge --size quick --from part1,part2 --results merged"],
  options: {
    size: { type: "string", choices: sizes, default: "full", help: "size of the run" },
    from: { type: "paths", value: "DIR,...", help: "folders of the shards (default: runs/SIZE/shard-*)" },
    results: { type: "path", value: "DIR", help: "write the joined CSVs here and leave results/ alone" },
    verbose: { type: "boolean", help: "print the sentences of the claims too" },
  },
  async run({ size, from, results, verbose }) {
    const folders = from ?? await shardFolders(size);
    const to = results ?? runFolder(size);
    refuseCommitted(results);
    ownFolder(to);
    for (const place of placesOf(to, results === undefined)) checkWritable(place);
    const { keys, absent, origins, machines } = await mergeShards(catalogue.experiments, size, folders, to);
    console.error(`joined ${folders.length} shards into ${to}: ${keys.join(", ")}`);
    if (absent.length > 0) {
      console.error(`no shard has a row of ${absent.join(", ")}: not asked for, or all cells failed`);
    }
    if (origins.length > 1) {
      console.error(`the shards were not measured alike: ${origins.join("; ")}`);
    }
    const differing = describeMachines(machines);
    if (differing.length > 0) {
      console.error("the rows were measured on different machines; times of one are not those of another:");
      for (const line of differing) console.error(`  ${line}`);
    }
    const merged = catalogue.experiments.filter(({ key }) => keys.includes(key));
    return await presentRun(catalogue, merged, size, to, {
      publishing: results === undefined,
      refresh: () => writeDocuments(catalogue),
      verbose,
    });
  },
});

/** All shard folders of a size; it is an error if they say different numbers of parts. */
async function shardFolders(size: string): Promise<string[]> {
  const folders: string[] = [], counts = new Set<string>(), parent = `runs/${size}`;
  try {
    for await (const { name, isDirectory } of Deno.readDir(parent)) {
      const match = /^shard-\d+-of-(\d+)$/.exec(name);
      if (!match || !isDirectory) continue;
      folders.push(`${parent}/${name}`);
      counts.add(match[1]);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  if (folders.length === 0) {
    throw new Error(`there are no folders ${parent}/shard-I-of-N; name them with --from`);
  }
  if (counts.size > 1) {
    throw new Error(
      `${parent} holds shards of different runs (of ${[...counts].join(", of ")}); name one set with --from`,
    );
  }
  return folders.sort();
}
