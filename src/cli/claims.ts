/** `deno task claims`: checks every claim against the CSVs. */
import * as catalogue from "../../experiments/mod.ts";
import { isThere } from "../files/is_there.ts";
import { claims } from "../report/claims.ts";
import { committedResults } from "../report/results.ts";
import { claimsTable, resultLine } from "../reproduction/claims_table.ts";
import { runCommand } from "../terminal/command.ts";
import { coverageTable } from "../reproduction/claim_coverage.ts";
import { checkResults } from "../reproduction/check_results.ts";
import { exitCodeOf } from "../reproduction/verdicts.ts";

const keys = [...new Set(claims.map(({ experiment }) => experiment))];

await runCommand({
  name: "claims",
  summary: "check each claim (verdict, measured, expected) against the CSVs",
  notes:
    "Exit code 0: no judged claim fails; 1: one fails or, without --partial, could not be measured; 2: none fails, but noise left more " +
    "than a quarter of the claims about time open.",
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
    verbose: { type: "boolean", excludes: ["json"], help: "print the sentences too" },
    json: { type: "boolean", help: "print one JSON object a line in place of the table" },
    matrix: {
      type: "boolean",
      excludes: ["results", "only", "partial", "verbose", "json"],
      help: "print what smoke, quick and full decide, as Markdown, and check nothing",
    },
  },
  async run({ results, only, partial, verbose, json, matrix }) {
    if (matrix) {
      console.log(coverageTable(catalogue));
      return 0;
    }
    if (!isThere(results)) {
      throw new Error(`${results} is not there; --results is a folder with the CSVs of a run`);
    }
    const checked = await checkResults(catalogue, results, only);
    const unmeasured = !partial && checked.some(({ verdict }) => verdict === "not measured");
    const code = exitCodeOf(checked, unmeasured);
    if (json) { for (const claim of checked) console.log(JSON.stringify(claim)); }
    else console.log(`${claimsTable(checked, { verbose })}\n\n${resultLine(checked, code)}`);
    return code;
  },
});
