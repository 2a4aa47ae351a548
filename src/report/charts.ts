/**
 * Renders a chart description with Chart.js on a Skia canvas: SVG with text as paths (looks the same
 * everywhere), PDF with embedded fonts (for LaTeX), PNG at four times the size. The font comes from an npm
 * package, because on a machine without fonts the canvas draws no text and reports no error.
 */
import { fileURLToPath } from "node:url";
import { type Canvas, createCanvas, GlobalFonts, PDFDocument, SvgExportFlag } from "canvas";
import {
  BarElement,
  CategoryScale,
  Chart,
  type ChartConfiguration,
  type ChartDataset,
  LinearScale,
  LineElement,
  LogarithmicScale,
  type Plugin,
  PointElement,
  type Scale,
} from "chart.js";
import {
  BarWithErrorBar,
  BarWithErrorBarsController,
  PointWithErrorBar,
  ScatterWithErrorBarsController,
} from "chartjs-chart-error-bars";
import type { Axis, BarChart, ChartDescription, LineChart, Measured, Spread } from "./chart.ts";
import {
  type Context,
  drawHatchedRect,
  drawLegend,
  drawMarker,
  drawText,
  fontFamily,
  fontSize,
  ink,
  layOutLegend,
  type Legend,
  type LegendEntry,
  type Style,
  styleOf,
  wrapCategory,
} from "./_drawing.ts";
import { replaceFile } from "../files/replace_file.ts";
import { apart, type Label } from "./labels.ts";

/** Pixels of a PNG per pixel of the chart. */
const pngScale = 4;

let ready = false;

/**
 * Registers the font and the parts of Chart.js; called by the rendering functions.
 *
 * @throws {Error} if the font cannot be loaded: figures without text must not come into being
 */
export function prepareCharts(): void {
  if (ready) return;
  const font = "@fontsource/dejavu-sans/files/dejavu-sans-latin-400-normal.woff2";
  if (GlobalFonts.registerFromPath(fileURLToPath(import.meta.resolve(font)), fontFamily) === null) {
    throw new Error("the font of the figures could not be loaded; run: deno install");
  }
  Chart.register(
    BarWithErrorBarsController,
    BarWithErrorBar,
    BarElement,
    ScatterWithErrorBarsController,
    PointWithErrorBar,
    PointElement,
    LineElement,
    CategoryScale,
    LinearScale,
    LogarithmicScale,
  );
  Chart.defaults.font.family = fontFamily;
  Chart.defaults.font.size = fontSize.tick;
  Chart.defaults.color = ink.text;
  Chart.defaults.locale = "en-US";
  ready = true;
}

/** Size of a chart in pixels, and its legend. */
export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly legend: Legend;
}

/** Lays a chart out: rows of the legend beyond the first make it taller, not its plot smaller. */
export function layOut(chart: ChartDescription): Layout {
  prepareCharts();
  const width = chart.width === "double" ? 700 : 340;
  const legend = layOutLegend(createCanvas(1, 1).getContext("2d"), legendEntries(chart), width - 12);
  const height = chart.height ?? (chart.width === "double" ? 260 : 215) + legend.height;
  return { width, height, legend };
}

const styleFor = (chart: ChartDescription, index: number): Style =>
  styleOf(chart.series[index].style ?? index);

function legendEntries(chart: ChartDescription): LegendEntry[] {
  if (chart.kind === "lines") {
    return chart.series.map(({ name, role = "measured" }, i): LegendEntry => ({
      name,
      style: styleFor(chart, i),
      kind: role === "measured" ? "line" : role,
    })).filter(({ name }) => name !== "");
  }
  const marked = chart.series.some(({ marks }) => marks?.some((mark) => mark !== null));
  const bars = chart.series.map(({ name }, i): LegendEntry => ({
    name,
    style: styleFor(chart, i),
    kind: "bar",
  }));
  // A single series needs no legend: the axis says what it is.
  const shown = bars.length > 1 || marked ? bars : [];
  return marked
    ? [...shown, { name: chart.markName ?? "reference", style: styleOf(6), kind: "mark" }]
    : shown;
}

/** A value, the ends of its error bar, its runs. */
const reach = (value: number, { low = value, high = value, runs = [] }: Spread): number[] => [
  value,
  low,
  high,
  ...runs,
];

/** Least and largest value that the y axis has to show: values and their spread, marks, reference lines. */
function extent(chart: ChartDescription): { min: number; max: number } {
  const values = chart.kind === "bars"
    ? chart.series.flatMap(({ values, marks = [] }) => [
      ...values.flatMap((entry) => {
        const bar = measured(entry);
        return bar ? reach(bar.value, bar) : [];
      }),
      ...marks.filter((mark) => mark !== null),
    ])
    : chart.series.flatMap(({ points }) => points.flatMap((point) => reach(point.y, point)));
  for (const { axis, value } of chart.references ?? []) if (axis === "y") values.push(value);
  const shown = chart.y.scale === "log" ? values.filter((value) => value > 0) : values;
  return { min: Math.min(...shown), max: Math.max(...shown) };
}

/** The next number of one digit times a power of ten, below (`-1`) or above (`1`) a positive one. */
function niceLog(value: number, direction: 1 | -1): number {
  const exponent = Math.floor(Math.log10(value)),
    steps = [1, 2, 3, 4, 6, 8, 10].map((m) => Number(`${m}e${exponent}`));
  return direction > 0
    ? steps.find((n) => n >= value * 1.02)!
    : steps.findLast((n) => n <= value * 0.98) ?? steps[0] / 2;
}

/** Ends of a logarithmic y axis: with room for the shortest bar and for the labels over the tallest. */
function logRange(chart: ChartDescription): { min: number; max: number } {
  const { min, max } = extent(chart), bars = chart.kind === "bars";
  return {
    min: chart.y.min ?? niceLog(bars ? min * 0.75 : min, -1),
    max: chart.y.max ?? niceLog(bars && chart.labels ? max * 2 : max * 1.05, 1),
  };
}

const superscript = (n: number) =>
  String(n).replace(/[-0-9]/g, (c) => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(c)]);

function tickText(value: number, powers = false): string {
  if (value === 0) return "0";
  if (powers) {
    const exponent = Math.floor(Math.log10(value) + 1e-9),
      mantissa = Number((value / 10 ** exponent).toPrecision(3));
    return (mantissa === 1 ? "" : `${mantissa}·`) + `10${superscript(exponent)}`;
  }
  return String(Number(value.toPrecision(6))).replace("-", "−");
}

/** Labelled and unlabelled ticks of a logarithmic axis: decades, and 2 and 5 between them if they are few. */
function logTicks(min: number, max: number): { value: number; major: boolean; label: boolean }[] {
  const decades = Math.log10(max / min), first = Math.floor(Math.log10(min) - 1e-9), ticks = [];
  const step = Math.max(1, Math.ceil(decades / 7));
  for (let e = first; e <= Math.ceil(Math.log10(max)); e++) {
    for (let m = 1; m < 10; m++) {
      const value = Number(`${m}e${e}`);
      if (value < min * (1 - 1e-9) || value > max * (1 + 1e-9)) continue;
      const label = m === 1 ? e % step === 0 : decades < 1.1 || (decades < 2.2 && (m === 2 || m === 5));
      if (m === 1 || decades < 5) ticks.push({ value, major: m === 1, label });
    }
  }
  return ticks;
}

function axisOptions(axis: Axis, which: "x" | "y"): Record<string, unknown> {
  const log = axis.scale === "log", ticks = axis.ticks;
  return {
    type: log ? "logarithmic" : "linear",
    ...(axis.min === undefined ? {} : { min: axis.min }),
    ...(axis.max === undefined ? {} : { max: axis.max }),
    title: { display: true, text: axis.title, font: { size: fontSize.text }, padding: which === "y" ? 2 : 1 },
    border: { color: ink.axis, width: 1 },
    grid: {
      color: (context: { tick?: { major?: boolean } }) =>
        log && context.tick?.major === false ? ink.minorGrid : ink.grid,
      lineWidth: 0.8,
      tickLength: 4,
      tickColor: ink.axis,
    },
    ticks: {
      maxRotation: 0,
      padding: 2,
      font: { size: fontSize.tick },
      ...(log || ticks ? { autoSkip: false } : { autoSkipPadding: 10, maxTicksLimit: which === "y" ? 7 : 9 }),
      callback(this: Scale, value: number | string, index: number) {
        if ((this.ticks[index] as { shown?: boolean } | undefined)?.shown === false) return "";
        // One notation along the whole axis.
        return tickText(Number(value), log && (this.min < 9e-4 || this.max > 2e5));
      },
    },
    afterBuildTicks(scale: Scale) {
      if (ticks) scale.ticks = ticks.map((value) => ({ value, major: true }));
      else if (log) {
        scale.ticks = logTicks(scale.min, scale.max).map(({ value, major, label }) => ({
          value,
          major,
          shown: label,
        }));
      }
    },
  };
}

const measured = (value: number | Measured | null): Measured | undefined =>
  value === null ? undefined : typeof value === "number" ? { value } : value;

/** Whiskers of a series; none if no value of it has an interval. */
const errorBars = (color: string, any: boolean, ratio: number) => ({
  errorBarColor: any ? color : "transparent",
  errorBarWhiskerColor: any ? color : "transparent",
  errorBarLineWidth: 1,
  errorBarWhiskerLineWidth: 1,
  errorBarWhiskerRatio: ratio,
  errorBarWhiskerSize: ratio > 0 ? 20 : 6,
});

type Dataset = ChartDataset<"barWithErrorBars"> | ChartDataset<"scatterWithErrorBars">;

function datasets(chart: ChartDescription): Dataset[] {
  if (chart.kind === "bars") {
    return chart.series.map(({ name, values }) => ({
      type: "barWithErrorBars" as const,
      label: name,
      data: values.map((entry) => {
        const bar = measured(entry);
        return bar ? { y: bar.value, yMin: bar.low ?? bar.value, yMax: bar.high ?? bar.value } : { y: NaN };
      }) as never,
      // The plugin below fills the bars; Chart.js computes their place and draws the whiskers.
      backgroundColor: "transparent",
      borderWidth: 0,
      skipNull: chart.centred ?? false,
      categoryPercentage: chart.series.length > 1 ? 0.82 : 0.6,
      barPercentage: 0.9,
      ...errorBars(ink.text, values.some((value) => measured(value)?.low !== undefined), 0.45),
    }));
  }
  return chart.series.map(({ name, points, role = "measured" }, i) => {
    const style = styleFor(chart, i);
    return {
      type: "scatterWithErrorBars" as const,
      label: name,
      data: points.map(({ x, y, low, high }) => ({ x, y, yMin: low ?? y, yMax: high ?? y })) as never,
      showLine: role === "measured" || role === "curve",
      // Whiskers at the ends of the x axis stay whole; curves are cut where the y axis ends.
      clip: { left: 8, right: 8, top: 1, bottom: 1 },
      borderColor: style.color,
      borderWidth: role === "curve" ? 1.8 : 1.5,
      borderDash: [...style.dash],
      ...errorBars(style.color, points.some(({ low }) => low !== undefined), 0),
    };
  });
}

interface Bar {
  x: number;
  y: number;
  base: number;
  width: number;
}

function barOf(plot: Chart, series: number, index: number): Bar {
  const element = plot.getDatasetMeta(series).data[index] as unknown as {
    getProps(names: string[], final: boolean): Bar;
  };
  return element.getProps(["x", "y", "base", "width"], true);
}

/** Marks that the label of a line at height `y` would touch at this end of the plot. */
function marksUnder(plot: Chart, label: string, end: number, y: number): number {
  const width = 0.65 * fontSize.tick * label.length, height = 1.5 * fontSize.tick;
  return plot.getSortedVisibleDatasetMetas().flatMap(({ data }) => data)
    .filter((mark) => Math.abs(mark.x - end) < width && mark.y > y - height && mark.y <= y + 3).length;
}

function drawReferences(ctx: Context, plot: Chart, chart: ChartDescription): void {
  const { left, right, top, bottom } = plot.chartArea;
  for (const { axis, value, label } of chart.references ?? []) {
    const at = plot.scales[axis].getPixelForValue(value);
    ctx.save();
    ctx.beginPath();
    ctx.setLineDash([5, 3]);
    ctx.strokeStyle = ink.reference;
    ctx.lineWidth = 1;
    ctx.moveTo(axis === "y" ? left : at, axis === "y" ? at : top);
    ctx.lineTo(axis === "y" ? right : at, axis === "y" ? at : bottom);
    ctx.stroke();
    ctx.restore();
    const style = { size: fontSize.tick, color: ink.reference, rim: true };
    if (axis === "y") {
      const isLeft = marksUnder(plot, label, left, at) < marksUnder(plot, label, right, at);
      const place = { align: isLeft ? "left" : "right", baseline: "bottom" } as const;
      drawText(ctx, label, isLeft ? left + 3 : right - 3, at - 3, { ...style, ...place });
    } else {
      const onLeft = at > (left + right) / 2;
      drawText(ctx, label, at + (onLeft ? -4 : 4), top + 8, { ...style, align: onLeft ? "right" : "left" });
    }
  }
}

function plugin(chart: ChartDescription, { width, height, legend }: Layout): Plugin {
  return {
    id: "look",
    beforeDraw(plot) {
      const ctx = plot.ctx as unknown as Context;
      ctx.save();
      ctx.fillStyle = "#ffffff";
      ctx.fillRect(0, 0, width, height);
      ctx.restore();
    },
    beforeDatasetDraw(plot, { index }) {
      if (chart.kind !== "bars") return;
      const ctx = plot.ctx as unknown as Context, { top, bottom } = plot.chartArea;
      const values = chart.series[index].values;
      values.forEach((value, i) => {
        if (measured(value) === undefined) return;
        const { x, y, base, width } = barOf(plot, index, i);
        const upper = Math.max(top, Math.min(y, base)), lower = Math.min(bottom, Math.max(y, base));
        drawHatchedRect(ctx, styleFor(chart, index), x - width / 2, upper, width, lower - upper);
      });
    },
    afterDatasetsDraw(plot) {
      const ctx = plot.ctx as unknown as Context;
      drawReferences(ctx, plot, chart);
      if (chart.kind === "bars") drawMarksAndLabels(ctx, plot, chart);
      else drawMarkers(ctx, plot, chart);
    },
    afterDraw(plot) {
      // Above the plot, or as far to the left of that as the legend needs.
      const left = Math.max(3, Math.min(plot.chartArea.left, width - 9 - legend.width));
      drawLegend(plot.ctx as unknown as Context, legend, left, 3);
    },
  };
}

/** Of the labels of bars. */
const LABEL_SIZE = 9;

function drawMarksAndLabels(ctx: Context, plot: Chart, chart: BarChart): void {
  const scale = plot.scales["y"], labels: Label[] = [];
  ctx.font = `${LABEL_SIZE}px ${fontFamily}`;
  chart.series.forEach(({ values, marks }, s) => {
    values.forEach((value, i) => {
      const bar = measured(value), { x } = barOf(plot, s, i), mark = marks?.[i] ?? null;
      drawRuns(ctx, bar?.runs, x, scale, ink.text);
      if (mark !== null) drawMarker(ctx, "diamond", x, scale.getPixelForValue(mark), 3.6, ink.text, true);
      if (!chart.labels || !bar) return;
      const top = scale.getPixelForValue(Math.max(...reach(bar.value, bar), mark ?? -Infinity));
      const text = tickText(Number(bar.value.toPrecision(3)));
      labels.push({ text, x, y: top - (mark === null ? 3 : 7), width: ctx.measureText(text).width + 2 });
    });
  });
  for (const { text, x, y } of apart(labels, LABEL_SIZE)) {
    drawText(ctx, text, x, y, { size: LABEL_SIZE, align: "center", baseline: "bottom", rim: true });
  }
}

function drawMarkers(ctx: Context, plot: Chart, chart: LineChart): void {
  const x = plot.scales["x"], y = plot.scales["y"], { left, right, top, bottom } = plot.chartArea;
  chart.series.forEach(({ points, role = "measured" }, s) => {
    if (role === "curve") return;
    const { marker, color } = styleFor(chart, s);
    for (const point of points) {
      const px = x.getPixelForValue(point.x), py = y.getPixelForValue(point.y);
      // Lines are cut at the edge of the plot; a marker half outside would look like a value.
      if (!(px >= left - 1 && px <= right + 1 && py >= top - 1 && py <= bottom + 1)) continue;
      drawRuns(ctx, point.runs, px + RUNS_ASIDE, y, color);
      drawMarker(ctx, marker, px, py, 3.2, color, role === "points");
      if (point.label !== undefined) {
        const onLeft = px > (left + right) / 2, aside = onLeft ? -7 : 7 + (point.runs ? RUNS_ASIDE : 0);
        drawText(ctx, point.label, px + aside, py - 7, {
          size: 9,
          align: onLeft ? "right" : "left",
          rim: true,
        });
      }
    }
  });
}

/** Pixels from a marker to the dots of its runs, which it would cover. */
const RUNS_ASIDE = 7;

function drawRuns(
  ctx: Context,
  runs: readonly number[] | undefined,
  x: number,
  scale: Scale,
  color: string,
): void {
  for (const run of runs ?? []) drawMarker(ctx, "circle", x, scale.getPixelForValue(run), 1.8, color);
}

/** Smallest size of names that are broken into lines; what would have to be smaller is legible aslant alone. */
const LEAST_LABEL = 7.5, ASLANT = { size: 8.5, rotation: 45 };

/** Names below the bars, broken into lines, at the largest size that keeps neighbours apart; aslant where none does. */
export function categoryLabels(
  chart: BarChart,
  width: number,
): { lines: (string | string[])[]; size: number; rotation: number } {
  const ctx = createCanvas(1, 1).getContext("2d"), slot = (width - 60) / chart.categories.length;
  for (let size = fontSize.tick; size >= LEAST_LABEL; size -= 0.5) {
    // The smallest may come as near to each other as two words.
    const room = slot - (size > LEAST_LABEL ? 5 : 2.5);
    const wrapped = chart.categories.map((name) => wrapCategory(ctx, name, room, size));
    if (wrapped.every(({ fits }) => fits)) {
      return { lines: wrapped.map(({ lines }) => lines), size, rotation: 0 };
    }
  }
  return { lines: chart.categories.map((name) => name.replaceAll("\n", " ")), ...ASLANT };
}

function configuration(chart: ChartDescription, layout: Layout, scale: number): ChartConfiguration {
  const bars = chart.kind === "bars";
  const categories = bars
    ? categoryLabels(chart, layout.width)
    : { lines: [], size: fontSize.tick, rotation: 0 };
  const xAxis = bars
    ? {
      type: "category",
      labels: categories.lines,
      title: {
        display: chart.x !== undefined,
        text: chart.x?.title ?? "",
        font: { size: fontSize.text },
        padding: 1,
      },
      border: { color: ink.axis, width: 1 },
      grid: { display: false, tickLength: 2 },
      ticks: {
        minRotation: categories.rotation,
        maxRotation: categories.rotation,
        autoSkip: false,
        padding: 2,
        font: { size: categories.size },
      },
    }
    : axisOptions(chart.x, "x");
  const log = chart.y.scale === "log";
  const yAxis = axisOptions(log ? { ...chart.y, ...logRange(chart) } : chart.y, "y");
  if (!log) {
    const { min, max } = extent(chart);
    if (bars) yAxis["beginAtZero"] = true;
    yAxis["suggestedMin"] = min;
    // Room over the tallest bar, for its label too.
    yAxis["suggestedMax"] = bars ? max + (chart.labels ? 0.08 : 0.03) * (max - Math.min(0, min)) : max;
  }
  return {
    type: bars ? "barWithErrorBars" : "scatterWithErrorBars",
    data: { labels: bars ? chart.categories.map(String) : [], datasets: datasets(chart) },
    options: {
      animation: false,
      responsive: false,
      devicePixelRatio: scale,
      // Markers are drawn below, the same way as in the legend.
      elements: { pointWithErrorBar: { radius: 0, hitRadius: 0 } },
      events: [],
      layout: { padding: { top: layout.legend.height + 6, right: 8, bottom: 3, left: 3 } },
      scales: { x: xAxis, y: yAxis },
      plugins: { legend: { display: false }, tooltip: { enabled: false }, title: { display: false } },
    },
    plugins: [plugin(chart, layout)],
  } as unknown as ChartConfiguration;
}

/** Draws a chart, lets `take` read the canvas, and only then ends the chart, which clears the canvas. */
function draw<T>(chart: ChartDescription, canvas: unknown, layout: Layout, scale: number, take: () => T): T {
  const plot = new Chart(canvas as never, configuration(chart, layout, scale));
  const result = take();
  plot.destroy();
  return result;
}

/** Gives every series its style and leaves out those that have nothing to show, so that no legend names them. */
function normalise(chart: ChartDescription): ChartDescription {
  if (!/^[a-z0-9_]+$/.test(chart.name)) {
    throw new RangeError(`"${chart.name}" cannot name a figure: use a-z, 0-9, _`);
  }
  const styled = <S extends { style?: number }>(series: readonly S[], empty: (series: S) => boolean) =>
    series.map((one, i) => ({ ...one, style: one.style ?? i })).filter((one) => !empty(one));
  const shown: ChartDescription = chart.kind === "bars"
    ? {
      ...chart,
      series: styled(
        chart.series,
        ({ values, marks = [] }) => [...values, ...marks].every((v) => v === null),
      ),
    }
    : { ...chart, series: styled(chart.series, ({ points }) => points.length === 0) };
  const numbers = shown.kind === "bars"
    ? shown.series.flatMap(({ values }) =>
      values.flatMap((v) => measured(v) ?? []).flatMap(({ value, runs = [] }) => [value, ...runs])
    )
    : shown.series.flatMap(({ points }) => points.flatMap(({ y, runs = [] }) => [y, ...runs]));
  if (numbers.length === 0) throw new RangeError(`figure ${chart.name} has no values`);
  const bad = numbers.find((n) => !Number.isFinite(n) || (chart.y.scale === "log" && n <= 0));
  if (bad !== undefined) throw new RangeError(`figure ${chart.name} cannot show the value ${bad}`);
  return shown;
}

/** Renders a chart as a PNG of four times its size. */
export function renderPng(description: ChartDescription): Uint8Array {
  const chart = normalise(description);
  const layout = layOut(chart), { width, height } = layout;
  const canvas: Canvas = createCanvas(width * pngScale, height * pngScale);
  // Chart.js multiplies the size it finds by the pixel ratio.
  canvas.width = width;
  canvas.height = height;
  return draw(chart, canvas, layout, pngScale, () => new Uint8Array(canvas.toBuffer("image/png")));
}

const escapeXml = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/**
 * Renders a chart as SVG with text as paths. Its ids begin with the chart's name, so that several charts can
 * stand in one HTML page; its title and description are read by screen readers.
 */
export function renderSvg(description: ChartDescription): string {
  const chart = normalise(description);
  const layout = layOut(chart), { width, height } = layout;
  const canvas = createCanvas(width, height, SvgExportFlag.ConvertTextToPaths);
  const text = draw(chart, canvas, layout, 1, () => new TextDecoder().decode(canvas.getContent()));
  // Skia numbers its ids through the life of the process; ours start at 1 and carry the name of the chart.
  const ids = new Map(
    [...text.matchAll(/\bid="([^"]+)"/g)].map(([, id], i) => [id, `${chart.name}-${i + 1}`]),
  );
  const body = text.slice(text.indexOf(">", text.indexOf("<svg")) + 1)
    .replace(/\b(id="|url\(#|href="#)([^")]+)/g, (_, before, id) => before + (ids.get(id) ?? id))
    // A hundredth of a pixel is finer than print; the digits beyond would double the size.
    .replace(/-?\d+\.\d{3,}/g, (number) => String(Number(Number(number).toFixed(2))));
  const attributes = `xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
    `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img"`;
  return `<svg ${attributes}>\n<title>${escapeXml(chart.name)}</title>\n<desc>${
    escapeXml(chart.caption)
  }</desc>${body}`;
}

/** Renders a chart as a PDF page of its size in points, with selectable text. */
export function renderPdf(description: ChartDescription): Uint8Array {
  const chart = normalise(description);
  const layout = layOut(chart), { width, height } = layout;
  const document = new PDFDocument({ title: chart.name });
  const ctx = document.beginPage(width, height) as unknown as Context & { canvas: unknown };
  const canvas = { width, height, getContext: () => ctx, style: {} };
  Object.defineProperty(ctx, "canvas", { value: canvas, configurable: true });
  return draw(chart, canvas, layout, 1, () => {
    document.endPage();
    return new Uint8Array(document.close());
  });
}

/** Writes `<name>.svg`, `<name>.pdf` and `<name>.png` of a chart into a folder. */
export async function writeChart(chart: ChartDescription, folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  replaceFile(`${folder}/${chart.name}.svg`, renderSvg(chart));
  replaceFile(`${folder}/${chart.name}.pdf`, renderPdf(chart));
  replaceFile(`${folder}/${chart.name}.png`, renderPng(chart));
}
