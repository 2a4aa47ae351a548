/** `deno task claims`: checks every claim against the CSVs. */
import { experiments } from "../../experiments/mod.ts";
import { checkClaims, claims } from "../report/claims.ts";
import { committedResults, dataOf, readReference, readResults } from "../report/results.ts";
import { runCommand } from "./command.ts";
import { claimsTable } from "./claims_table.ts";

const keys = [...new Set(claims.map(({ experiment }) => experiment))];

await runCommand({
  name: "claims",
  summary: "check each claim (sentence, expected, measured, tolerance, verdict) against the CSVs",
  notes: "Exit code 0 only if every claim holds; with --partial also if some could not be measured.",
  time: "1 s",
  options: {
    results: { type: "path", default: committedResults, value: "DIR", help: "folder with the CSVs" },
    only: {
      type: "list",
      choices: keys,
      value: "KEY,...",
      help: "claims about these experiments only",
    },
    partial: { type: "boolean", help: "accept claims that the CSVs have no rows for" },
    json: { type: "boolean", help: "print one JSON object a line in place of the table" },
  },
  async run({ results, only, partial, json }) {
    // A claim may look at rows of other experiments beside its own.
    const tables = await readResults(results, experiments.map(({ key }) => key));
    const checked = checkClaims(dataOf(tables, await readReference()), only);
    if (json) { for (const claim of checked) console.log(JSON.stringify(claim)); }
    else console.log(claimsTable(checked));
    const accepted = ["holds", "not judged", ...(partial ? ["not measured"] : [])];
    return checked.every(({ verdict }) => accepted.includes(verdict)) ? 0 : 1;
  },
});
