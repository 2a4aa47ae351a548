import { assert, assertAlmostEquals, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createCanvas, loadImage } from "canvas";
import type { BarChart, ChartDescription, LineChart } from "./chart.ts";
import { categoryLabels, layOut, prepareCharts, renderPdf, renderPng, renderSvg } from "./charts.ts";

const bars: BarChart = {
  kind: "bars",
  name: "example_bars",
  see: "bars.",
  caption: "Time < bytes & \u201cmore\u201d",
  categories: ["MiniONN-BN", "ResNet-18"],
  y: { title: "time (s)", scale: "log" },
  series: [
    { name: "ESPN", values: [{ value: 0.3, low: 0.25, high: 0.4 }, 2], marks: [0.5, 8] },
    { name: "lifted", values: [0.1, null] },
  ],
  markName: "paper",
};

const lines: LineChart = {
  kind: "lines",
  name: "example_lines",
  see: "lines.",
  caption: "Error against degree",
  x: { title: "degree" },
  y: { title: "error" },
  references: [{ axis: "y", value: 0.5, label: "limit" }],
  series: [
    { name: "measured", points: [{ x: 2, y: 0.9, low: 0.8, high: 1.1 }, { x: 4, y: 0.4 }] },
    { name: "curve", role: "curve", points: [{ x: 2, y: 0.7 }, { x: 4, y: 0.2 }] },
    { name: "paper", role: "points", points: [{ x: 2, y: 0.95 }] },
  ],
};

/** Pixels of a PNG. */
async function pixels(png: Uint8Array) {
  const image = await loadImage(png),
    canvas = createCanvas(image.width, image.height),
    ctx = canvas.getContext("2d");
  ctx.drawImage(image, 0, 0);
  return {
    width: image.width,
    height: image.height,
    data: ctx.getImageData(0, 0, image.width, image.height).data,
  };
}

/** Dark grey pixels, as text has, in a part of the picture given by fractions of its width and height. */
function inked(
  { width, height, data }: Awaited<ReturnType<typeof pixels>>,
  [x0, x1]: number[],
  [y0, y1]: number[],
) {
  let count = 0;
  for (let y = Math.floor(y0 * height); y < y1 * height; y++) {
    for (let x = Math.floor(x0 * width); x < x1 * width; x++) {
      const [r, g, b] = data.subarray((y * width + x) * 4, (y * width + x) * 4 + 3) as unknown as [
        number,
        number,
        number,
      ];
      if (r < 90 && g < 90 && b < 90) count++;
    }
  }
  return count;
}

describe("charts", () => {
  it("have a font of their own, with the shapes that the axes need", () => {
    prepareCharts();
    const ctx = createCanvas(10, 10).getContext("2d");
    ctx.font = "100px Plot";
    assertAlmostEquals(ctx.measureText("Time (s) β ≤ 10⁻³ − ℤ").width, 1091.55, 0.1);
    ctx.fillText("x", 0, 10);
    assert(ctx.getImageData(0, 0, 10, 10).data.some((value) => value > 0), "text leaves no pixels");
  });

  it("are drawn at four times their size, with text on the axes and in the legend", async () => {
    for (const chart of [bars, lines] as ChartDescription[]) {
      const picture = await pixels(renderPng(chart)), { width, height } = layOut(chart);
      assertEquals([picture.width, picture.height], [width * 4, height * 4]);
      assert(inked(picture, [0, 0.06], [0.2, 0.8]) > 200, `${chart.name}: no title at the y axis`);
      assert(inked(picture, [0.2, 1], [0.92, 1]) > 200, `${chart.name}: no text below the x axis`);
      assert(inked(picture, [0.15, 1], [0, 0.09]) > 200, `${chart.name}: no legend`);
    }
  });

  it("keep the legend above the plot, and everything that is drawn inside the plot", async () => {
    // The mark at 8 lies far above all bars; the axis must reach it, so the strip under the legend stays empty.
    const picture = await pixels(renderPng({ ...bars, height: 230 }));
    const { legend } = layOut(bars);
    const strip = [(legend.height + 0.5) / 230, (legend.height + 5) / 230];
    assertEquals(inked(picture, [0.2, 1], strip), 0);
  });

  it("break names of bars into lines, and write them aslant where lines would touch", () => {
    const labels = (count: number) => {
      const categories = Array.from({ length: count }, () => "resnet20\ntrig");
      return categoryLabels({ ...bars, categories, series: [] }, 700);
    };
    assertEquals(labels(5), {
      lines: Array.from({ length: 5 }, () => ["resnet20", "trig"]),
      size: 10,
      rotation: 0,
    });
    assertEquals(labels(17).rotation, 0);
    const { lines, rotation } = labels(19);
    assertEquals([lines[0], rotation], ["resnet20 trig", 45]);
  });

  it("become taller when the legend needs more rows", () => {
    const many = Array.from({ length: 7 }, (_, i) => ({ name: `a rather long name ${i}`, values: [1, 2] }));
    assert(layOut({ ...bars, series: many }).height > layOut(bars).height + 20);
  });

  it("do not name a series that has nothing to show, and keep the styles of the others", () => {
    const empty = { name: "empty", values: [null, null] }, [first, second] = bars.series;
    const styled = { ...bars, series: [first, { ...second, style: 2 }] };
    assertEquals(renderSvg({ ...bars, series: [first, empty, second] }), renderSvg(styled));
  });

  it("are SVG with text as paths, a description, and ids of their own", () => {
    const svg = renderSvg(bars);
    assert(svg.startsWith('<svg xmlns="http://www.w3.org/2000/svg"'));
    assertStringIncludes(svg, "<desc>Time &lt; bytes &amp; \u201cmore\u201d</desc>");
    assert(!svg.includes("<text"), "text must not depend on the reader's fonts");
    assert(!/\b(id="|url\(#|href="#)(?!example_bars-)/.test(svg));
    assertEquals(renderSvg(bars), svg, "two renderings differ");
  });

  it("are PDF pages with an embedded font", () => {
    const text = new TextDecoder("latin1").decode(renderPdf(lines));
    assert(text.startsWith("%PDF-"));
    assertStringIncludes(text, "/FontFile2");
    assertStringIncludes(text, "[0 0 340 ");
  });

  it("draw each run beside its mean, bars and lines, and reach up to the farthest run", async () => {
    const blue = async (chart: ChartDescription) => {
      const { width, height, data } = await pixels(renderPng(chart));
      const rows = new Set<number>();
      for (let at = 0; at < width * height; at++) {
        if (data[4 * at] === 0 && data[4 * at + 2] === 0xb2) rows.add(Math.floor(at / width));
      }
      return { first: Math.min(...rows) / height, rows: rows.size };
    };
    const of = (point: object): LineChart => ({
      ...lines,
      x: { title: "degree", min: 0, max: 4 },
      y: { title: "error", min: 0, max: 100 },
      references: [],
      height: 230,
      series: [{ name: "measured", role: "points", points: [{ x: 2, y: 50, ...point }] }],
    });
    const [mean, runs] = [await blue(of({})), await blue(of({ runs: [20, 90] }))];
    // A dot is 3.6 pixels high.
    assert(runs.rows > mean.rows + 2 * 12, `${runs.rows} rows with dots, ${mean.rows} without`);
    const tall = renderSvg({
      ...bars,
      y: { title: "%" },
      series: [{ name: "a", values: [{ value: 3, runs: [1, 9] }] }],
    });
    const short = renderSvg({ ...bars, y: { title: "%" }, series: [{ name: "a", values: [{ value: 3 }] }] });
    assert(tall !== short && tall.length > short.length);
    assertThrows(
      () => renderSvg({ ...bars, series: [{ name: "a", values: [{ value: 3, runs: [0] }] }] }),
      RangeError,
      "cannot show the value 0",
    );
  });

  it("write the label of a line at the end where no mark is", async () => {
    const inkAt = async (x: number) => {
      const drawn = await pixels(renderPng({
        ...lines,
        x: { title: "degree", min: 0, max: 4 },
        y: { title: "error", min: 0, max: 100 },
        references: [{ axis: "y", value: 50, label: "limit" }],
        height: 230,
        series: [{ name: "", role: "points", points: [{ x, y: 54 }] }],
      }));
      const label = [0.38, 0.43];
      return { left: inked(drawn, [0.15, 0.3], label), right: inked(drawn, [0.8, 0.97], label) };
    };
    const [early, late] = [await inkAt(0), await inkAt(4)];
    assert(early.right > 50 && early.left === 0, JSON.stringify(early));
    assert(late.left > 50 && late.right === 0, JSON.stringify(late));
  });

  it("write the label of a point beside it", () => {
    const [first] = lines.series, point = first.points[1];
    const labelled = { ...lines, series: [{ ...first, points: [{ ...point, label: "VGG-16" }] }] };
    const plain = { ...lines, series: [{ ...first, points: [point] }] };
    assert(renderSvg(labelled).length > renderSvg(plain).length + 1000);
  });

  it("refuse values that cannot be shown", () => {
    assertThrows(
      () => renderSvg({ ...bars, series: [{ name: "a", values: [0, 1] }] }),
      RangeError,
      "cannot show the value 0",
    );
    assertThrows(() => renderSvg({ ...lines, series: [] }), RangeError, "no values");
    assertThrows(
      () => renderSvg({ ...bars, series: [{ name: "a", values: [null] }] }),
      RangeError,
      "no values",
    );
    assertThrows(() => renderSvg({ ...lines, name: "../x" }), RangeError, "cannot name a figure");
  });
});
