/** Markdown as `deno fmt` leaves it, so that a document with written parts passes the same check as one typed by hand. */
import { displayWidth, wrapText } from "../terminal/table.ts";

/** The width of lines, as deno.json has it. */
const WIDTH = 110;

/** Lines of a text; a sign that would make an item of the line it begins stays with the word before it. */
const lines = (text: string, width: number) => wrapText(text.replace(/ (?=[-+*>] )/g, "\u00a0"), width);

/** A paragraph. */
export const paragraph = (text: string): string => lines(text, WIDTH).join("\n");

/** A list. */
export const list = (items: readonly string[]): string =>
  items.map((text) => `- ${lines(text, WIDTH - 2).join("\n  ")}`).join("\n");

/** A table with the columns of its first row. */
export function table(rows: readonly Readonly<Record<string, string>>[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const cells = [columns, ...rows.map((row) => columns.map((column) => row[column] ?? ""))]
    .map((line) => line.map((text) => text.replaceAll("|", "\\|").replaceAll("\n", " ")));
  const widths = columns.map((_, c) => Math.max(...cells.map((line) => displayWidth(line[c]))));
  const bar = (line: readonly string[], fill: string) =>
    `| ${
      line.map((text, c) => text + fill.repeat(Math.max(0, widths[c] - displayWidth(text)))).join(" | ")
    } |`;
  const [heading, ...body] = cells;
  return [bar(heading, " "), bar(columns.map(() => ""), "-"), ...body.map((line) => bar(line, " "))].join(
    "\n",
  );
}
