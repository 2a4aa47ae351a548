/**
 * The look of all figures, and the pieces that Chart.js does not draw the same way to pixels, SVG and PDF:
 * markers, hatches, legend, reference lines. Colours are those of Okabe and Ito, which readers with any
 * form of colour blindness can tell apart; hatch, marker shape and dash repeat the distinction in print
 * without colour.
 */

import type { SKRSContext2D } from "canvas";

/** A 2D context: of pixels, an SVG or a PDF page. */
export type Context = SKRSContext2D;

/** Font family under which the shipped font is registered. */
export const fontFamily = "Plot";
/** Sizes in pixels: at 340 px for a column of 3.33 inch one pixel prints as 0.7 point. */
export const fontSize = { tick: 10, text: 10.5 };
/** Colours of everything that is not data. */
export const ink = {
  text: "#222222",
  axis: "#444444",
  grid: "#dddddd",
  minorGrid: "#efefef",
  reference: "#555555",
};

type Marker = "circle" | "square" | "triangle" | "diamond" | "downTriangle" | "cross" | "plus" | "star";
type Hatch = "none" | "rising" | "falling" | "crossed" | "horizontal" | "vertical" | "grid" | "dense";

/** Look of one series. */
export interface Style {
  readonly color: string;
  readonly marker: Marker;
  readonly dash: readonly number[];
  readonly hatch: Hatch;
}

const styles: readonly Style[] = [
  { color: "#0072B2", marker: "circle", dash: [], hatch: "none" },
  { color: "#E69F00", marker: "square", dash: [6, 2], hatch: "rising" },
  { color: "#009E73", marker: "triangle", dash: [2, 2], hatch: "crossed" },
  { color: "#D55E00", marker: "diamond", dash: [7, 2, 2, 2], hatch: "falling" },
  { color: "#CC79A7", marker: "downTriangle", dash: [4, 3], hatch: "horizontal" },
  { color: "#56B4E9", marker: "cross", dash: [9, 3], hatch: "vertical" },
  { color: "#000000", marker: "plus", dash: [1, 2], hatch: "grid" },
  { color: "#B8A800", marker: "star", dash: [6, 2, 1, 2, 1, 2], hatch: "dense" },
];

/** The style of a series; styles repeat after eight. */
export function styleOf(index: number): Style {
  return styles[index % styles.length];
}

/** The colour mixed with white: 0 leaves it, 1 gives white. */
function tint(color: string, amount: number): string {
  const channels = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return "#" + channels.map((c) => Math.round(c + (255 - c) * amount).toString(16).padStart(2, "0")).join("");
}

/** Draws a marker of about `2 * radius` width. */
export function drawMarker(
  ctx: Context,
  marker: Marker,
  x: number,
  y: number,
  radius: number,
  color: string,
  hollow = false,
): void {
  const polygon = (points: [number, number][]) => {
    points.forEach(([dx, dy], i) => ctx[i === 0 ? "moveTo" : "lineTo"](x + dx * radius, y + dy * radius));
    ctx.closePath();
  };
  const strokes = (lines: [number, number, number, number][]) => {
    for (const [x0, y0, x1, y1] of lines) {
      ctx.moveTo(x + x0 * radius, y + y0 * radius);
      ctx.lineTo(x + x1 * radius, y + y1 * radius);
    }
  };
  ctx.save();
  ctx.setLineDash([]);
  ctx.beginPath();
  const open = marker === "cross" || marker === "plus" || marker === "star";
  if (marker === "circle") ctx.arc(x, y, radius, 0, 2 * Math.PI);
  else if (marker === "square") polygon([[-0.88, -0.88], [0.88, -0.88], [0.88, 0.88], [-0.88, 0.88]]);
  else if (marker === "triangle") polygon([[0, -1.15], [1.05, 0.75], [-1.05, 0.75]]);
  else if (marker === "downTriangle") polygon([[0, 1.15], [1.05, -0.75], [-1.05, -0.75]]);
  else if (marker === "diamond") polygon([[0, -1.25], [1.05, 0], [0, 1.25], [-1.05, 0]]);
  else {
    if (marker !== "plus") strokes([[-0.85, -0.85, 0.85, 0.85], [-0.85, 0.85, 0.85, -0.85]]);
    if (marker !== "cross") strokes([[-1.15, 0, 1.15, 0], [0, -1.15, 0, 1.15]]);
  }
  if (open) {
    ctx.strokeStyle = color;
    ctx.lineWidth = hollow ? 1.1 : 1.7;
    ctx.stroke();
  } else {
    // A thin white edge keeps filled markers apart where they touch each other or a line.
    ctx.fillStyle = hollow ? "#ffffff" : color;
    ctx.strokeStyle = hollow ? color : "#ffffff";
    ctx.lineWidth = hollow ? 1.2 : 0.7;
    if (hollow) ctx.fill();
    ctx.stroke();
    if (!hollow) ctx.fill();
  }
  ctx.restore();
}

/**
 * Fills a rectangle with the tint and hatch of a style. Hatch lines are cut at the edges by arithmetic, not
 * by a clip, so that SVG and PDF hold plain lines.
 */
export function drawHatchedRect(
  ctx: Context,
  style: Style,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  if (width <= 0 || height <= 0) return;
  ctx.save();
  ctx.setLineDash([]);
  ctx.fillStyle = style.hatch === "none" ? style.color : tint(style.color, 0.72);
  ctx.fillRect(x, y, width, height);
  ctx.beginPath();
  // Lines dx * t + dy * s at fixed places of the page, so that the hatches of neighbours are aligned.
  const diagonal = (sign: 1 | -1, step: number) => {
    // All points with (px - sign * py) = c for c in multiples of the step.
    const corners = [
      x - sign * y,
      x + width - sign * y,
      x - sign * (y + height),
      x + width - sign * (y + height),
    ];
    const first = Math.ceil(Math.min(...corners) / step) * step, last = Math.max(...corners);
    for (let c = first; c < last; c += step) {
      const atTop = c + sign * y, atBottom = c + sign * (y + height);
      const left = Math.max(x, Math.min(atTop, atBottom)),
        right = Math.min(x + width, Math.max(atTop, atBottom));
      if (right <= left) continue;
      ctx.moveTo(left, sign * (left - c));
      ctx.lineTo(right, sign * (right - c));
    }
  };
  const straight = (along: "x" | "y", step: number) => {
    const [from, to] = along === "x" ? [y, y + height] : [x, x + width];
    for (let c = Math.ceil(from / step) * step; c < to; c += step) {
      ctx.moveTo(along === "x" ? x : c, along === "x" ? c : y);
      ctx.lineTo(along === "x" ? x + width : c, along === "x" ? c : y + height);
    }
  };
  const { hatch } = style;
  if (hatch === "rising" || hatch === "crossed") diagonal(-1, 5);
  if (hatch === "falling" || hatch === "crossed") diagonal(1, 5);
  if (hatch === "dense") diagonal(-1, 2.5);
  if (hatch === "horizontal" || hatch === "grid") straight("x", 3.5);
  if (hatch === "vertical" || hatch === "grid") straight("y", 3.5);
  ctx.strokeStyle = style.color;
  ctx.lineWidth = 1;
  ctx.stroke();
  ctx.lineWidth = 0.9;
  ctx.strokeRect(x, y, width, height);
  ctx.restore();
}

/** Writes text; a white rim keeps it readable over grid lines and data. */
export function drawText(
  ctx: Context,
  text: string,
  x: number,
  y: number,
  options: {
    size?: number;
    color?: string;
    align?: Context["textAlign"];
    baseline?: Context["textBaseline"];
    rim?: boolean;
  } = {},
): void {
  ctx.save();
  ctx.font = `${options.size ?? fontSize.text}px ${fontFamily}`;
  ctx.textAlign = options.align ?? "left";
  ctx.textBaseline = options.baseline ?? "middle";
  if (options.rim) {
    ctx.lineJoin = "round";
    ctx.strokeStyle = "#ffffff";
    ctx.lineWidth = 2.5;
    ctx.setLineDash([]);
    ctx.strokeText(text, x, y);
  }
  ctx.fillStyle = options.color ?? ink.text;
  ctx.fillText(text, x, y);
  ctx.restore();
}

/** One entry of a legend. */
export interface LegendEntry {
  readonly name: string;
  readonly style: Style;
  readonly kind: "bar" | "mark" | "line" | "curve" | "points" | "marks";
}

/** A legend laid out in rows. */
export interface Legend {
  readonly height: number;
  readonly width: number;
  readonly swatchWidth: number;
  readonly rows: readonly { readonly entry: LegendEntry; readonly x: number }[][];
}

const swatch = { bar: 15, mark: 10, line: 24, curve: 24, points: 12, marks: 12 },
  rowHeight = 15,
  gap = 14,
  swatchGap = 5;

/** Fills rows of at most `width` pixels with the entries. */
export function layOutLegend(ctx: Context, entries: readonly LegendEntry[], width: number): Legend {
  ctx.save();
  ctx.font = `${fontSize.text}px ${fontFamily}`;
  // Names in a column begin at the same place.
  const swatchWidth = Math.max(...entries.map(({ kind }) => swatch[kind]));
  const sizes = entries.map(({ name }) => swatchWidth + swatchGap + ctx.measureText(name).width);
  ctx.restore();
  // As few rows as possible, entries below each other aligned, because a ragged legend is hard to scan; across the
  // rows if that fits, otherwise down the columns.
  for (let columns = entries.length; columns >= 1; columns--) {
    const rowCount = Math.ceil(entries.length / columns);
    for (const down of [false, true]) {
      const places = entries.map((_, i) =>
        down
          ? { row: i % rowCount, column: Math.floor(i / rowCount) }
          : { row: Math.floor(i / columns), column: i % columns }
      );
      const widths = Array.from(
        { length: columns },
        (_, c) => Math.max(0, ...sizes.filter((_, i) => places[i].column === c)),
      );
      const total = widths.reduce((sum, w) => sum + w + gap, -gap);
      if (total > width && columns > 1) continue;
      const rows = Array.from({ length: rowCount }, (): { entry: LegendEntry; x: number }[] => []);
      entries.forEach((entry, i) => {
        const x = widths.slice(0, places[i].column).reduce((sum, w) => sum + w + gap, 0);
        rows[places[i].row].push({ entry, x });
      });
      return { height: rowCount * rowHeight + 5, width: total, swatchWidth, rows };
    }
  }
  return { height: 5, width: 0, swatchWidth: 0, rows: [] };
}

/** Breaks a name of a category at `\n`, and at spaces and hyphens where a line would be wider than `width`. */
export function wrapCategory(
  ctx: Context,
  name: string,
  width: number,
  size: number,
): { lines: string[]; fits: boolean } {
  ctx.save();
  ctx.font = `${size}px ${fontFamily}`;
  const lines = name.split("\n").flatMap((line) => {
    const parts: string[] = [];
    for (const word of line.match(/[^ -]*[ -]?/g)?.filter((word) => word !== "") ?? []) {
      const last = parts.at(-1);
      if (last !== undefined && ctx.measureText((last + word).trim()).width <= width) {
        parts[parts.length - 1] = last + word;
      } else parts.push(word);
    }
    return parts.map((part) => part.trim());
  });
  const fits = lines.every((line) => ctx.measureText(line).width <= width);
  ctx.restore();
  return { lines, fits };
}

/** Draws a legend with its upper left corner at (`left`, `top`). */
export function drawLegend(ctx: Context, legend: Legend, left: number, top: number): void {
  legend.rows.forEach((row, r) => {
    const y = top + (r + 0.5) * rowHeight;
    for (const { entry: { name, style, kind }, x } of row) {
      const width = swatch[kind], start = left + x + (legend.swatchWidth - width) / 2;
      if (kind === "bar") drawHatchedRect(ctx, style, start + 0.5, y - 5, width - 1, 10);
      else if (kind === "mark") drawMarker(ctx, "diamond", start + width / 2, y, 3.6, ink.text, true);
      else if (kind === "points" || kind === "marks") {
        drawMarker(ctx, style.marker, start + width / 2, y, 3.2, style.color, kind === "points");
      } else {
        ctx.save();
        ctx.beginPath();
        ctx.setLineDash([...style.dash]);
        ctx.strokeStyle = style.color;
        ctx.lineWidth = 1.6;
        ctx.moveTo(start, y);
        ctx.lineTo(start + width, y);
        ctx.stroke();
        ctx.restore();
        if (kind === "line") drawMarker(ctx, style.marker, start + width / 2, y, 3.2, style.color);
      }
      drawText(ctx, name, left + x + legend.swatchWidth + swatchGap, y);
    }
  });
}
