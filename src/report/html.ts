/**
 * One HTML page with everything: the claims with their verdicts, then every experiment with its figures, its
 * table and its rows. The page needs no other file and no JavaScript, and prints well.
 */
import type { CheckedClaim, Verdict } from "./claims.ts";
import { csvText, type CsvValue, type Row } from "./csv.ts";

/** A figure of the report. */
export interface ReportFigure {
  readonly name: string;
  readonly caption: string;
  /** The figure as inline SVG. */
  readonly svg: string;
}

/** An experiment in the report. */
export interface ReportSection {
  readonly key: string;
  readonly title: string;
  readonly explanation: string;
  readonly source?: string;
  /** Meaning of the columns. */
  readonly columns: Readonly<Record<string, string>>;
  readonly figures: readonly ReportFigure[];
  readonly table?: readonly Readonly<Record<string, CsvValue>>[];
  readonly rows: readonly Row[];
}

/** Everything that the report shows. */
export interface Report {
  readonly title: string;
  readonly introduction: string;
  readonly claims: readonly CheckedClaim[];
  readonly sections: readonly ReportSection[];
}

/** Rows that are shown in the page; the CSV has them all. */
const shownRows = 400;

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const escape = (text: string) => text.replace(/[&<>"']/g, (c) => escapes[c]);

const style = `
:root { color-scheme: light dark; --text: #1d1f23; --soft: #5b626c; --line: #d9dce1; --page: #ffffff;
  --card: #f6f7f9; --good: #006b3d; --bad: #b3261e; --link: #0b57a4; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e8eb; --soft: #a3abb6; --line: #3a3f47; --page: #15171a;
  --card: #1e2125; --good: #5fd39b; --bad: #ff8a80; --link: #8ab8ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 5rem; max-width: 60rem; background: var(--page); color: var(--text);
  font: 1rem/1.55 Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; line-height: 1.25; margin: 3.2rem 0 .4rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
a { color: var(--link); }
table, .meta, nav, figcaption, summary, .summary, .source { font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
nav { font-size: .85rem; margin: 1rem 0 0; line-height: 1.9; }
nav a { margin-right: 1.1rem; white-space: nowrap; }
.summary { font-size: 1rem; margin: 1.4rem 0 .6rem; }
.source { color: var(--soft); font-size: .82rem; margin: 0 0 .5rem; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .82rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 1.5px solid var(--line); vertical-align: bottom; }
th, td { padding: .35rem .8rem .35rem 0; }
td { border-bottom: 1px solid var(--line); vertical-align: top; }
th.number, td.number { text-align: right; padding-left: .6rem; white-space: nowrap; }
.claims { width: 100%; }
.claims td:first-child { white-space: nowrap; font-weight: 600; }
.claims small { color: var(--soft); display: block; font-size: .76rem; }
.holds { color: var(--good); } .fails { color: var(--bad); } .not-measured, .not-judged-here { color: var(--soft); }
.figures { display: flex; flex-wrap: wrap; gap: 1.2rem; margin: 1.2rem 0; }
figure { margin: 0; break-inside: avoid; max-width: 100%; background: #ffffff; border-radius: 6px; padding: .7rem;
  border: 1px solid var(--line); }
figure svg { display: block; max-width: 100%; height: auto; }
figcaption { color: #4a4f57; font-size: .78rem; line-height: 1.4; margin-top: .5rem; contain: inline-size; }
details { margin: 1rem 0; } summary { cursor: pointer; font-size: .85rem; color: var(--link); }
.meta { color: var(--soft); font-size: .76rem; margin-top: .8rem; overflow-wrap: anywhere; max-width: none; }
dl { font-size: .85rem; margin: .6rem 0 1rem; display: grid; grid-template-columns: max-content 1fr; gap: .1rem .9rem; }
dt { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .8rem; } dd { margin: 0; }
@media print { html { font-size: 10.5pt; } :root { --text: #000; --soft: #444; --line: #bbb; --page: #fff; --good: #004d2b; --bad: #8c1d18; --link: #000; }
  body { max-width: none; padding: 0; } nav, details:not([open]) { display: none; }
  h2 { break-after: avoid; } tr { break-inside: avoid; } figure { border: 0; padding: 0; } }
`;

const numeric = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

function renderTable(
  rows: readonly Readonly<Record<string, CsvValue>>[],
  columns = Object.keys(rows[0] ?? {}),
): string {
  // Four digits are enough to read; the rows below have all that the CSV has.
  const short = (value: CsvValue) =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
  const texts = rows.map((row) => columns.map((column) => csvText(short(row[column]))));
  const number = columns.map((_, c) => texts.every((row) => row[c] === "" || numeric.test(row[c])));
  const cell = (tag: "th" | "td") => (text: string, c: number) =>
    `<${tag}${number[c] ? ' class="number"' : ""}>${
      escape(text.replaceAll("_", tag === "th" ? " " : "_"))
    }</${tag}>`;
  const body = texts.map((row) => `<tr>${row.map(cell("td")).join("")}</tr>`).join("\n");
  return `<div class="scroll"><table>\n<thead><tr>${columns.map(cell("th")).join("")}</tr></thead>\n` +
    `<tbody>\n${body}\n</tbody></table></div>`;
}

const marks: Readonly<Record<Verdict, string>> = {
  holds: "✓",
  fails: "✗",
  "not measured": "–",
  "not judged here": "–",
};

function renderClaims(claims: readonly CheckedClaim[]): string {
  const rows = claims.map((claim) =>
    `<tr id="claim-${escape(claim.id)}"><td class="${claim.verdict.replaceAll(" ", "-")}">${
      marks[claim.verdict]
    } ${claim.verdict}</td>` +
    `<td>${escape(claim.sentence)}<small>${escape(claim.source)} · <a href="#${escape(claim.experiment)}">` +
    `${escape(claim.experiment)}</a></small></td>` +
    `<td>${escape(claim.expected)}<small>${escape(claim.tolerance)}</small></td>` +
    `<td>${escape(claim.measured)}</td></tr>`
  );
  return `<div class="scroll"><table class="claims">\n<thead><tr><th>verdict</th><th>claim</th>` +
    `<th>expected</th><th>measured</th></tr></thead>\n<tbody>\n${rows.join("\n")}\n</tbody></table></div>`;
}

/** Distinct values of a column, a few of them, in words. */
function distinct(rows: readonly Row[], column: string): string {
  const values = [...new Set(rows.map((row) => row[column] ?? ""))].filter((value) => value !== "");
  return values.length > 4
    ? `${values.slice(0, 4).join("; ")}; and ${values.length - 4} more`
    : values.join("; ");
}

function renderSection(section: ReportSection): string {
  const { key, title, explanation, source, columns, figures, table, rows } = section;
  const shown = rows.slice(0, shownRows), rest = rows.length - shown.length;
  const meanings = Object.entries(columns).map(([name, text]) =>
    `<dt>${escape(name)}</dt><dd>${escape(text)}</dd>`
  );
  const visible = ["cell", ...Object.keys(columns)].filter((column) =>
    rows.some((row) => (row[column] ?? "") !== "")
  );
  return [
    `<section id="${escape(key)}">`,
    `<h2>${escape(title)}</h2>`,
    `<p class="source">${escape(source ?? "not in the paper")} · <a href="${escape(key)}.csv">${
      escape(key)
    }.csv</a></p>`,
    `<p>${escape(explanation)}</p>`,
    figures.length > 0
      ? `<div class="figures">${
        figures.map(({ svg, caption }) =>
          `<figure>${svg}<figcaption>${escape(caption)}</figcaption></figure>`
        ).join("\n")
      }</div>`
      : "",
    table && table.length > 0 ? renderTable(table) : "",
    `<details><summary>Rows (${rows.length}) and what the columns mean</summary>`,
    `<dl>${meanings.join("")}</dl>`,
    renderTable(shown, visible),
    rest > 0 ? `<p class="source">${rest} more rows are in the CSV.</p>` : "",
    "</details>",
    `<p class="meta">size ${escape(distinct(rows, "size"))} · seed ${escape(distinct(rows, "seed"))} · ` +
    `commit ${escape(distinct(rows, "commit"))} · ${escape(distinct(rows, "machine"))}</p>`,
    "</section>",
  ].filter((line) => line !== "").join("\n");
}

/** How many claims hold, in words. */
export function summarise(claims: readonly CheckedClaim[]): string {
  const count = (verdict: Verdict) => claims.filter((claim) => claim.verdict === verdict).length;
  const fails = count("fails");
  const parts = [`${count("holds")} of ${claims.length} claims hold`];
  if (fails > 0) parts.push(`${fails} ${fails === 1 ? "fails" : "fail"}`);
  for (const verdict of ["not judged here", "not measured"] as const) {
    const open = count(verdict);
    if (open > 0) parts.push(`${open} ${open === 1 ? "is" : "are"} ${verdict}`);
  }
  return parts.join(", ") + ".";
}

/** Renders the report. */
export function renderReport({ title, introduction, claims, sections }: Report): string {
  const links = sections.map(({ key, title }) => `<a href="#${escape(key)}">${escape(title)}</a>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<h1>${escape(title)}</h1>
<p>${escape(introduction)}</p>
<nav>${links.join("\n")}</nav>
${
    claims.length > 0
      ? `<p class="summary"><strong>${escape(summarise(claims))}</strong></p>\n${renderClaims(claims)}`
      : ""
  }
${sections.map(renderSection).join("\n")}
</body>
</html>
`;
}
