/**
 * One HTML page with everything: the three roles, the paper's two tables, the claims with their verdicts and what each size of a
 * run decides, then every experiment with its figures, its table and its rows. The page needs no other file and no JavaScript, and
 * prints well.
 */
import type { CheckedClaim, Verdict } from "./claims.ts";
import { type Coverage, entryText } from "./coverage.ts";
import { csvText, type CsvValue, type Row } from "./csv.ts";
import { rolesPicture } from "./roles_picture.ts";

/** A figure of the report. */
export interface ReportFigure {
  readonly name: string;
  readonly caption: string;
  /** What to see in it, in one sentence. */
  readonly see: string;
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
  /** The tables that come before the claims. */
  readonly leading: readonly ReportSection[];
  readonly claims: readonly CheckedClaim[];
  /** What each size of a run decides of these claims. */
  readonly coverage: readonly Coverage[];
  readonly sections: readonly ReportSection[];
  /** What could not be drawn, and why. */
  readonly failures: readonly string[];
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
html { scroll-padding-top: 3.2rem; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 1rem/1.55 Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif; }
main { margin: 0 auto; padding: 1.5rem 1.2rem 5rem; max-width: 66rem; min-width: 0; width: 100%; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; line-height: 1.25; margin: 3.2rem 0 .4rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
a { color: var(--link); }
table, .meta, nav, figcaption, summary, .summary, .source, .roles, .claim { font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
nav { position: sticky; top: 0; z-index: 1; background: var(--page); border-bottom: 1px solid var(--line); font-size: .85rem;
  padding: .55rem 1.2rem; overflow-x: auto; white-space: nowrap; line-height: 1.7; }
nav a { margin-right: 1.1rem; text-decoration: none; }
nav a:hover { text-decoration: underline; }
@media (min-width: 82rem) {
  html { scroll-padding-top: 1rem; }
  body { display: grid; grid-template-columns: 15rem minmax(0, 1fr); }
  nav { height: 100vh; white-space: normal; padding: 1.6rem 1rem 1rem 1.4rem; border-bottom: 0; border-right: 1px solid var(--line);
    overflow-y: auto; line-height: 1.35; }
  nav a { display: block; margin: 0 0 .6rem; }
  main { margin: 0; max-width: 84rem; padding: 1.5rem 2.5rem 5rem; }
}
.roles { display: flex; flex-wrap: wrap; gap: .5rem 2rem; align-items: center; margin: 1.2rem 0; font-size: .85rem; line-height: 1.45; }
.roles svg { flex: 1 1 20rem; max-width: 27rem; height: auto; }
.roles ol { flex: 1 1 20rem; margin: 0; padding-left: 1.4rem; } .roles li { margin: .35rem 0; }
.summary { font-size: 1rem; margin: 1.2rem 0 .8rem; }
.source { color: var(--soft); font-size: .82rem; margin: 0 0 .5rem; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .82rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 1.5px solid var(--line); vertical-align: bottom; }
th, td { padding: .35rem .7rem .35rem 0; }
td { border-bottom: 1px solid var(--line); vertical-align: top; }
th.number, td.number { text-align: right; padding-left: .3rem; } td.number { white-space: nowrap; }
th:first-child, td:first-child { min-width: 6.5rem; }
.claim { border-bottom: 1px solid var(--line); margin: 0; font-size: .85rem; }
.claim summary { color: inherit; padding: .4rem 0; display: grid; grid-template-columns: 9.5rem 15rem 1fr; gap: .2rem .8rem; list-style: none; }
.claim summary::-webkit-details-marker { display: none; }
.claim summary:hover, .claim[open] summary { background: var(--card); }
.claim code { overflow-wrap: anywhere; color: var(--link); }
.claim .verdict { font-weight: 600; white-space: nowrap; }
.claim dl { margin: .3rem 0 .9rem; } .claim dt { font-family: inherit; color: var(--soft); }
@media (max-width: 44rem) { .claim summary { grid-template-columns: 9rem 1fr; } .claim summary span:last-child { grid-column: 1 / -1; }
  dl { grid-template-columns: 1fr !important; } dd { margin-bottom: .35rem !important; } }
.holds { color: var(--good); } .fails { color: var(--bad); } .not-measured, .not-judged-here { color: var(--soft); }
.matrix .not { color: var(--soft); } .matrix .fully { font-weight: 600; }
.figures { display: flex; flex-wrap: wrap; gap: 1.2rem; margin: 1.2rem 0; }
figure { margin: 0; break-inside: avoid; max-width: 100%; background: #ffffff; border-radius: 6px; padding: .7rem;
  border: 1px solid var(--line); }
figure .plot { overflow-x: auto; }
figure svg { display: block; max-width: 100%; height: auto; }
/* Below this a figure of two columns cannot be read; it scrolls. */
figure svg.wide { min-width: 34rem; }
figcaption { color: #4a4f57; font-size: .78rem; line-height: 1.4; margin-top: .5rem; contain: inline-size; }
figcaption b { color: #1d1f23; }
details { margin: 1rem 0; } summary { cursor: pointer; font-size: .85rem; color: var(--link); }
.meta { color: var(--soft); font-size: .76rem; margin-top: .8rem; overflow-wrap: anywhere; max-width: none; }
dl { font-size: .85rem; margin: .6rem 0 1rem; display: grid; grid-template-columns: max-content 1fr; gap: .1rem .9rem; }
dt { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .8rem; overflow-wrap: anywhere; } dd { margin: 0; }
@media print { figure svg.wide { min-width: 0; } html { font-size: 10.5pt; } :root { --text: #000; --soft: #444; --line: #bbb; --page: #fff; --good: #004d2b; --bad: #8c1d18; --link: #000; }
  body { display: block; } main { max-width: none; padding: 0; } nav, section > details:not([open]):not(.claim) { display: none; }
  h2 { break-after: avoid; } tr { break-inside: avoid; } figure { border: 0; padding: 0; } }
`;

/** A number or a range of two, perhaps with the mark of a footnote. */
const numeric = /^Infinity$|^([\d.]+ to )?[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?x?[*\u2020]?\u2021?$/i;

function renderTable(
  rows: readonly Readonly<Record<string, CsvValue>>[],
  columns = Object.keys(rows[0] ?? {}),
): string {
  // Four digits are enough to read; the rows below have all that the CSV has.
  const short = (value: CsvValue) => {
    if (typeof value !== "number" || Number.isInteger(value)) return value;
    // What lies beyond floating point must not look like what is not there.
    return value === Infinity ? "Infinity" : Number(value.toPrecision(4));
  };
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

/** One line a claim; its sentence and what is accepted are behind it. */
function renderClaim(claim: CheckedClaim): string {
  const { id, verdict, measured, sentence, expected, tolerance, refuted, source, experiment } = claim;
  const meanings = [
    ["claim", escape(sentence)],
    ["expected", escape(expected)],
    ["accepted", escape(tolerance)],
    ["refuted by", escape(refuted)],
    ["source", `${escape(source)} \u00b7 <a href="#${escape(experiment)}">${escape(experiment)}</a>`],
  ].map(([name, text]) => `<dt>${name}</dt><dd>${text}</dd>`);
  return `<details class="claim" id="claim-${escape(id)}"><summary>` +
    `<span class="verdict ${verdict.replaceAll(" ", "-")}">${marks[verdict]} ${verdict}</span>` +
    `<code>${escape(id)}</code><span>${escape(measured)}</span></summary>` +
    `<dl>${meanings.join("")}</dl></details>`;
}

function renderClaims(claims: readonly CheckedClaim[]): string {
  return `<section id="claims">
<h2>Claims</h2>
<p class="summary"><strong>${escape(summarise(claims))}</strong> Each line opens.</p>
${claims.map(renderClaim).join("\n")}
</section>`;
}

function renderCoverage(coverage: readonly Coverage[]): string {
  const sizes = ["smoke", "quick", "full"] as const;
  const rows = coverage.map(({ id, sizes: entries }) =>
    `<tr><td><a href="#claim-${escape(id)}">${escape(id)}</a></td>` +
    sizes.map((size) => `<td class="${entries[size].decided}">${escape(entryText(entries[size]))}</td>`).join(
      "",
    ) +
    "</tr>"
  );
  return `<section id="coverage">
<h2>What each size decides</h2>
<p>How much of a claim a run of that size decides, and what its experiment takes: minutes on two cores as <code>reproduce</code>
estimates them before it starts, memory of all its processes together.</p>
<div class="scroll"><table class="matrix">
<thead><tr><th>claim</th>${sizes.map((size) => `<th>${size}</th>`).join("")}</tr></thead>
<tbody>${rows.join("\n")}</tbody></table></div>
</section>`;
}

/** Distinct values of a column, a few of them, in words. */
function distinct(rows: readonly Row[], column: string): string {
  const values = [...new Set(rows.map((row) => row[column] ?? ""))].filter((value) => value !== "");
  return values.length > 4
    ? `${values.slice(0, 4).join("; ")}; and ${values.length - 4} more`
    : values.join("; ");
}

/** Width of a figure that takes one column. */
const ONE_COLUMN_PX = 340;

function renderFigure({ svg, caption, see }: ReportFigure): string {
  const seen = `<b>What to see: ${escape(see)}</b><br>`;
  const wide = Number(/ width="(\d+)"/.exec(svg)?.[1] ?? 0) > ONE_COLUMN_PX;
  const plot = wide ? svg.replace("<svg ", '<svg class="wide" ') : svg;
  return `<figure><div class="plot">${plot}</div><figcaption>${seen}${escape(caption)}</figcaption></figure>`;
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
    figures.length > 0 ? `<div class="figures">${figures.map(renderFigure).join("\n")}</div>` : "",
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
  const partly = claims.filter((claim) => claim.partly).length;
  const parts = [
    `${count("holds")} of ${claims.length} claims hold` +
    (partly > 0 ? ` (${partly} of them in part: a larger size measures more)` : ""),
  ];
  if (fails > 0) parts.push(`${fails} ${fails === 1 ? "fails" : "fail"}`);
  for (const verdict of ["not judged here", "not measured"] as const) {
    const open = count(verdict);
    if (open > 0) parts.push(`${open} ${open === 1 ? "is" : "are"} ${verdict}`);
  }
  return parts.join(", ") + ".";
}

const link = (id: string, title: string) => `<a href="#${escape(id)}">${escape(title)}</a>`;

/** Renders the report. */
export function renderReport(report: Report): string {
  const { title, introduction, leading, claims, coverage, sections, failures } = report;
  const linksOf = (list: readonly ReportSection[]) => list.map(({ key, title }) => link(key, title));
  const links = [
    link("roles", "Three roles"),
    ...linksOf(leading),
    ...claims.length > 0 ? [link("claims", "Claims")] : [],
    ...coverage.length > 0 ? [link("coverage", "What each size decides")] : [],
    ...linksOf(sections),
  ];
  const parts = [
    `<h1>${escape(title)}</h1>`,
    `<p>${escape(introduction)}</p>`,
    claims.length > 0 ? `<p class="summary"><a href="#claims">${escape(summarise(claims))}</a></p>` : "",
    ...failures.map((failure) => `<p class="fails">Not drawn: ${escape(failure)}</p>`),
    `<section id="roles">\n${rolesPicture()}\n</section>`,
    ...leading.map(renderSection),
    claims.length > 0 ? renderClaims(claims) : "",
    coverage.length > 0 ? renderCoverage(coverage) : "",
    ...sections.map(renderSection),
  ];
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
<nav aria-label="Contents">${links.join("\n")}</nav>
<main>
${parts.filter((part) => part !== "").join("\n")}
</main>
</body>
</html>
`;
}
