/** `deno task figures`: draws figures and report again, from the CSVs alone. */
import * as catalogue from "../../experiments/mod.ts";
import { committedResults } from "../report/results.ts";
import { runCommand } from "../terminal/command.ts";
import { isThere } from "../files/is_there.ts";
import { ownFolder } from "../folders/own_folder.ts";
import { drawResults, placesOf } from "../reproduction/present.ts";
import { checkWritable } from "../folders/writable.ts";

await runCommand({
  name: "figures",
  summary: "draw all figures (SVG, PDF, PNG) and the HTML report from the CSVs; nothing is measured",
  time: "about 1 s a figure",
  disk: "about 1 MB a figure",
  options: {
    results: { type: "path", default: committedResults, value: "DIR", help: "folder with the CSVs" },
    only: {
      type: "list",
      choices: catalogue.allResults.map(({ key }) => key),
      value: "KEY,...",
      help: "figures of these experiments only; the report is always made in full",
    },
  },
  async run({ results, only }) {
    if (!isThere(results)) {
      throw new Error(`${results} is not there; --results is a folder with the CSVs of a run`);
    }
    ownFolder(results);
    for (const place of placesOf(results, false)) checkWritable(place);
    const drawn = await drawResults(catalogue, results, only);
    for (const name of drawn.figures) console.log(`${drawn.figuresFolder}/${name}.{svg,pdf,png}`);
    console.log(drawn.report);
    for (const { text } of drawn.failures) console.error(`error: not drawn: ${text}`);
    return drawn.failures.length > 0 ? 1 : 0;
  },
});
