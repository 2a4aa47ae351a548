/** `deno task documents`: writes the parts of documents that follow from code and CSVs. */
import * as catalogue from "../../experiments/mod.ts";
import { writeDocuments } from "../documents/documents.ts";
import { runCommand } from "../terminal/command.ts";

await runCommand({
  name: "documents",
  summary:
    "write the parts of README.md, ARTIFACT.md and docs/ that follow from code and from results/*.csv, and the picture of the roles",
  time: "1 s",
  options: {},
  async run() {
    const written = await writeDocuments(catalogue);
    console.log(written.length === 0 ? "nothing was stale" : written.join("\n"));
    return 0;
  },
});
