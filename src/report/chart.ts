/**
 * A chart as data: what is drawn, not how. Experiments return these; `charts.ts` renders them. Numbers in a
 * chart come from a CSV, so a chart can be redrawn without running anything.
 */

/** An axis; the title names the unit, for example `time (s)`. */
export interface Axis {
  readonly title: string;
  /** Default: linear. */
  readonly scale?: "linear" | "log";
  readonly min?: number;
  readonly max?: number;
  /** Positions of the labelled ticks; chosen automatically if left out. */
  readonly ticks?: readonly number[];
}

/** What stands beside a value: the ends of its error bar, or, of few runs, each of them as a dot. */
export interface Spread {
  readonly low?: number;
  readonly high?: number;
  readonly runs?: readonly number[];
}

/** A value and its spread, if it has one. */
export interface Measured extends Spread {
  readonly value: number;
}

/** A line across the plot, with its label at the end. */
export interface ReferenceLine {
  readonly axis: "x" | "y";
  readonly value: number;
  readonly label: string;
}

interface ChartBase {
  /** File name without its ending. */
  readonly name: string;
  /** What is drawn: one or two sentences under the figure in the report. */
  readonly caption: string;
  /** What to see in it: the end of a sentence that begins with these words. */
  readonly see: string;
  /** One column of a two-column paper (340 px) or both (700 px). Default: single. */
  readonly width?: "single" | "double";
  /** Height in pixels; chosen from the width if left out. */
  readonly height?: number;
  readonly references?: readonly ReferenceLine[];
}

interface SeriesBase {
  /** Of a line also nothing: not in the legend. */
  readonly name: string;
  /** Index of colour, hatch, marker and dash, so that a series looks the same in all figures; default: its place. */
  readonly style?: number;
}

/** Bars of one kind, one for each category; `null` leaves a gap. */
export interface BarSeries extends SeriesBase {
  readonly values: readonly (number | Measured | null)[];
  /** Values of others for the same bars, drawn as diamonds over them. */
  readonly marks?: readonly (number | null)[];
}

/** Groups of bars. */
export interface BarChart extends ChartBase {
  readonly kind: "bars";
  /** Names below the groups; `\n` breaks the line. */
  readonly categories: readonly string[];
  readonly x?: { readonly title: string };
  readonly y: Axis;
  readonly series: readonly BarSeries[];
  /** What the marks are, for the legend, for example `paper`. */
  readonly markName?: string;
  /** Writes the value over each bar. */
  readonly labels?: boolean;
  /** Categories have few of the series: bars stand in the middle of theirs, not each series in a place of its own. */
  readonly centred?: boolean;
}

/** A point of a line and its spread, if it has one. */
export interface Point extends Spread {
  readonly x: number;
  readonly y: number;
  /** Written beside the marker. */
  readonly label?: string;
}

/** Points joined by a line. */
export interface LineSeries extends SeriesBase {
  readonly points: readonly Point[];
  /**
   * `measured` (default): line and filled markers; `marks`: filled markers alone; `curve`: line alone, for a function; `points`:
   * hollow markers alone, for values of others.
   */
  readonly role?: "measured" | "marks" | "curve" | "points";
}

/** Lines over a numeric axis. */
export interface LineChart extends ChartBase {
  readonly kind: "lines";
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly LineSeries[];
}

/** Description of one chart. */
export type ChartDescription = BarChart | LineChart;
