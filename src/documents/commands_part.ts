/** The list of commands, as deno.json describes them. */
import { table } from "./markdown.ts";
import type { Sources } from "./sources.ts";

export const commandsPart = ({ tasks }: Sources): string =>
  table(
    Object.entries(tasks).map(([name, { description }]) => ({
      "`deno task ...`": `\`${name}\``,
      does: description,
    })),
  );
