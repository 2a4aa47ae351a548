/** The HTML report as a browser sees it: no complaint on the console, every figure and table shown. */
import { pathToFileURL } from "node:url";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { ChartDescription } from "../src/report/chart.ts";
import { renderSvg } from "../src/report/charts.ts";
import { renderReport, type Report, type ReportSection, summarise } from "../src/report/html.ts";

const chart = (name: string): ChartDescription => ({
  kind: "bars",
  name,
  see: "bars.",
  caption: `Figure <${name}> & its caption`,
  categories: ["MiniONN-BN", "ResNet-18"],
  y: { title: "time (s)" },
  series: [{ name: "ESPN", values: [0.3, 2] }, { name: "lifted", values: [0.1, 0.4] }],
});

const claim = {
  source: "paper, Figure 1",
  experiment: "timing",
  expected: "4.5",
  measured: "4.8",
  tolerance: "at least 4",
  refuted: "less than 4",
};
const section = (key: string): ReportSection => ({
  key,
  title: `Experiment ${key}`,
  explanation: "What it is.",
  columns: { model: "network", seconds: "time (s)" },
  figures: [1, 2].map((n) => chart(`${key}_${n}`)).map((c) => ({
    name: c.name,
    caption: c.caption,
    see: "one bar is taller <than> the other.",
    svg: renderSvg(c),
  })),
  table: [{ model: "ResNet-18", ratio: 4.8 }],
  rows: Array.from({ length: 500 }, (_, i) => ({
    cell: `cell ${i}`,
    model: "<script>alert(1)</script>",
    seconds: String(i / 10),
    size: "quick",
    seed: "1",
    commit: "abc",
    machine: "a machine",
  })),
});

const report: Report = {
  title: "Results <of a test>",
  introduction: "An introduction with \u201cquotes\u201d & signs.",
  claims: [
    { ...claim, id: "one", verdict: "holds", sentence: "The first claim holds." },
    { ...claim, id: "two", verdict: "fails", sentence: "The second claim fails." },
    { ...claim, id: "three", verdict: "not measured", sentence: "The third claim was not measured." },
  ],
  coverage: ["one", "two"].map((id) => {
    const entry = { decided: "fully", minutes: 3, memoryMB: 900 } as const;
    return {
      id,
      experiment: "timing",
      sizes: { smoke: { ...entry, decided: "not" }, quick: entry, full: entry },
    };
  }),
  failures: ["figure timing_3: it has no values"],
  leading: [section("speedup")],
  sections: ["timing", "bytes"].map(section),
};

describe("renderReport()", () => {
  it("escapes everything that comes from outside", () => {
    const html = renderReport(report);
    assert(!html.includes("<script"), "a value became markup");
    assertStringIncludes(html, "Results &lt;of a test&gt;");
    assertStringIncludes(html, "100 more rows are in the CSV.");
    assertStringIncludes(html, "What to see: one bar is taller &lt;than&gt; the other.");
  });
  it("shows roles, leading tables, claims and the matrix before everything else, and names what is missing", () => {
    const html = renderReport(report);
    const ids = [...html.matchAll(/<section id="([^"]+)"/g)].map(([, id]) => id);
    assertEquals(ids, ["roles", "speedup", "claims", "coverage", "timing", "bytes"]);
    const links = [.../<nav.*?<\/nav>/s.exec(html)![0].matchAll(/href="#([^"]+)"/g)].map(([, id]) => id);
    assertEquals(links, ids);
    assertStringIncludes(html, "Not drawn: figure timing_3: it has no values");
  });
  it("keeps verdict and number of a claim visible and its sentence behind them", () => {
    const claim = /<details class="claim" id="claim-two">(.*?)<\/details>/s.exec(renderReport(report))![1];
    const [line, rest] = claim.split("</summary>");
    assert(/✗ fails/.test(line) && line.includes("4.8") && !line.includes("The second claim"));
    assertStringIncludes(rest, "The second claim fails.");
  });
  it("needs no other file", () => {
    assert(!/\b(src|href)="(?!#|data:|[a-z0-9_]+\.csv")/.test(renderReport(report)));
  });
  it("says how many claims hold", () => {
    assertEquals(summarise(report.claims), "1 of 3 claims hold, 1 fails, 1 is not measured.");
    assertEquals(summarise(report.claims.slice(0, 1)), "1 of 1 claims hold.");
  });
});

const browser = ["/usr/bin/chromium", "/usr/bin/google-chrome"].find((path) => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});

/** Loads a page and returns the state that `probe` computes in it, with everything on the console. */
async function visit(
  html: string,
  probe: string,
  width = 1000,
): Promise<{ state: unknown; console: string[] }> {
  const folder = await Deno.makeTempDir();
  try {
    const script = `<script>addEventListener("load", () => {
      document.documentElement.dataset.state = JSON.stringify((${probe})());
    });</script>`;
    await Deno.writeTextFile(`${folder}/page.html`, html.replace("</body>", `${script}</body>`));
    const flags =
      "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking " +
      "--disable-component-update --disable-sync --enable-logging=stderr --dump-dom";
    const { stdout, stderr } = await new Deno.Command(browser!, {
      args: [
        ...flags.split(" "),
        `--window-size=${width},900`,
        `--user-data-dir=${folder}/profile`,
        pathToFileURL(`${folder}/page.html`).href,
      ],
      stdout: "piped",
      stderr: "piped",
    }).output();
    const dom = new TextDecoder().decode(stdout), log = new TextDecoder().decode(stderr).split("\n");
    const state = /data-state="([^"]*)"/.exec(dom)?.[1] ?? "null";
    return {
      state: JSON.parse(state.replaceAll("&quot;", '"').replaceAll("&amp;", "&")),
      console: log.filter((line) => line.includes("CONSOLE")),
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** In the page: sizes of the figures, widths of what sticks out, the number of rows that can be seen. */
const probe = `() => ({
  figures: [...document.querySelectorAll("figure svg")].map((svg) => {
    const box = svg.getBoundingClientRect();
    return { width: Math.round(box.width), paths: svg.querySelectorAll("path").length,
      broken: [...svg.querySelectorAll("[clip-path]")].filter((node) =>
        !document.getElementById(/#([^")]+)/.exec(node.getAttribute("clip-path"))[1])).length };
  }),
  sticksOut: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  ids: new Set([...document.querySelectorAll("[id]")].map((node) => node.id)).size ===
    document.querySelectorAll("[id]").length,
  claims: [...document.querySelectorAll(".claim > summary")].filter((line) => line.offsetHeight > 0).length,
})`;

interface State {
  figures: { width: number; paths: number; broken: number }[];
  sticksOut: number;
  ids: boolean;
  claims: number;
}

if (browser === undefined) {
  console.log("the report is not opened in a browser: there is no /usr/bin/chromium");
}

(browser ? it : it.ignore)("a browser shows the report without complaint", async () => {
  const { state, console } = await visit(renderReport(report), probe),
    { figures, ...rest } = state as State;
  assertEquals(console, []);
  assertEquals(rest, { sticksOut: 0, ids: true, claims: 3 });
  assertEquals(figures.map(({ width, broken }) => [width, broken]), Array(6).fill([340, 0]));
  for (const { paths } of figures) assert(paths > 20);
});

(browser ? it : it.ignore)("a browser shows the committed report without complaint", async () => {
  const html = await Deno.readTextFile(new URL("../results/report.html", import.meta.url));
  for (const width of [400, 1000, 1600]) {
    const { state, console } = await visit(html, probe, width),
      { figures, sticksOut, ids, claims } = state as State;
    assertEquals([console, sticksOut, ids], [[], 0, true], `${width} pixels`);
    assert(claims > 0 && figures.length > 0);
    for (const { width, paths, broken } of figures) assert(width >= 300 && paths > 20 && broken === 0);
  }
  assertMatch(html, /\d+ of \d+ claims hold/);
});
