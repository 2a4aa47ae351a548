/**
 * The documents of the repository and what writes their parts. `deno task documents` writes them, a run that publishes rows does so
 * too, and `tests/documents_test.ts` fails where one is stale.
 */
import { replaceFile } from "../files/replace_file.ts";
import { rolesSvg } from "../report/roles_picture.ts";
import type { Catalogue } from "../reproduction/experiment.ts";
import { claimsPart } from "./claims_part.ts";
import { commandsPart } from "./commands_part.ts";
import { errorsPart } from "./errors_part.ts";
import { latencyPart } from "./latency_part.ts";
import { type Parts, withParts } from "./parts.ts";
import { protocolsPart } from "./protocols_part.ts";
import { resultsPart } from "./results_part.ts";
import { readSources, type Sources } from "./sources.ts";

/** Those with parts that are written. */
const DOCUMENTS = ["README.md", "ARTIFACT.md", "docs/commands.md", "docs/results.md"];
/** The picture of the three roles in the README. */
const PICTURE = "docs/roles.svg";

const partsFrom = (sources: Sources): Parts => ({
  latency: () => latencyPart(sources),
  errors: () => errorsPart(sources),
  protocols: protocolsPart,
  claims: () => claimsPart(sources),
  commands: () => commandsPart(sources),
  results: () => resultsPart(sources),
});

/** Every document as it should be, by its path. */
export async function freshDocuments(catalogue: Catalogue): Promise<Map<string, string>> {
  const parts = partsFrom(await readSources(catalogue));
  const fresh = new Map([[PICTURE, rolesSvg()]]);
  for (const path of DOCUMENTS) fresh.set(path, withParts(await Deno.readTextFile(path), parts, path));
  return fresh;
}

/** Writes those that are stale, and returns their paths. */
export async function writeDocuments(catalogue: Catalogue): Promise<string[]> {
  const written: string[] = [];
  for (const [path, text] of await freshDocuments(catalogue)) {
    if (await Deno.readTextFile(path).catch(() => undefined) === text) continue;
    replaceFile(path, text);
    written.push(path);
  }
  return written;
}
