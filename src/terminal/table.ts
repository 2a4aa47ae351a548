/** Aligned tables for the terminal: numbers to the right, text to the left, long text wrapped. */

/** Value of a cell; numbers are shown by {@linkcode formatNumber}, an absent value as an empty cell. */
type Cell = string | number | bigint | boolean | null | undefined;

/** A column: the key of the row and how it is shown. */
export interface Column {
  readonly key: string;
  /** Heading; the key if left out. */
  readonly title?: string;
  /** Default: right if every value is a number. */
  readonly align?: "left" | "right";
  readonly format?: (value: Cell) => string;
  /** Takes the width that is left and breaks its text over lines. */
  readonly wrap?: boolean;
  /** Takes the width that is left and cuts its text there. */
  readonly cut?: boolean;
}

/** Writes a number with enough digits to be read, not more: `12345`, `3.142`, `1.4e-7`. */
export function formatNumber(value: number, digits = 4): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1e9 || size < 1e-4) {
    return value.toExponential(digits - 1).replace(/\.?0+e/, "e").replace(
      "e+",
      "e",
    );
  }
  return value.toFixed(Math.max(0, digits - 1 - Math.floor(Math.log10(size))));
}

// Every escape code is invisible on the screen; combining marks take no column.
// deno-lint-ignore no-control-regex
const invisible = /\x1b\[[0-9;]*m|\p{M}/gu;

/** Columns that a text takes on the terminal. */
export function displayWidth(text: string): number {
  return [...text.replace(invisible, "")].length;
}

/** Cuts a text that is longer than a width, and shows that it did. */
function cutText(text: string, width: number): string {
  const letters = [...text];
  return letters.length <= width ? text : `${letters.slice(0, width - 1).join("").trimEnd()}\u2026`;
}

/** Breaks a text into lines at its spaces. */
export function wrapText(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (
      last !== undefined && displayWidth(last) + 1 + displayWidth(word) <= width
    ) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines;
}

const show = (value: Cell): string =>
  value === null || value === undefined
    ? ""
    : typeof value === "number"
    ? formatNumber(value)
    : typeof value === "boolean"
    ? (value ? "yes" : "no")
    : String(value);

/**
 * Formats rows as a table with a heading and a rule below it.
 *
 * @param rows one object a line
 * @param columns keys or column descriptions; all keys of the first row if left out
 * @param width total width that wrapped columns are fitted to; the terminal's if left out
 */
export function formatTable(
  rows: readonly Readonly<Record<string, unknown>>[],
  columns: readonly (string | Column)[] = Object.keys(rows[0] ?? {}),
  width: number = terminalWidth(),
): string {
  const specs: Column[] = columns.map((column) => typeof column === "string" ? { key: column } : column);
  const right = specs.map(({ key, align }) =>
    (align ??
      (rows.every((row) =>
          row[key] === undefined || row[key] === null ||
          ["number", "bigint"].includes(typeof row[key])
        )
        ? "right"
        : "left")) === "right"
  );
  const texts = rows.map((row) => specs.map(({ key, format }) => (format ?? show)(row[key] as Cell)));
  const titles = specs.map(({ key, title }) => title ?? key);
  const widths = specs.map((_, c) =>
    Math.max(
      displayWidth(titles[c]),
      ...texts.map((row) => displayWidth(row[c])),
    )
  );
  const gap = 2, wrapped = specs.flatMap(({ wrap }, c) => wrap ? [c] : []);
  const cut = specs.flatMap(({ cut }, c) => cut ? [c] : []);
  const spare = width - gap * (specs.length - 1) -
    widths.reduce((sum, w, c) => wrapped.includes(c) || cut.includes(c) ? sum : sum + w, 0);
  // Wide columns share what is left in proportion to what they would like.
  const wanted = wrapped.reduce((sum, c) => sum + widths[c], 0);
  if (wanted > spare) {
    for (const c of wrapped) {
      widths[c] = Math.max(
        displayWidth(titles[c]),
        16,
        Math.floor(spare * widths[c] / wanted),
      );
    }
  }
  // Columns that are cut share it evenly; what a narrow one leaves is for the others.
  let left = Math.max(cut.length, spare);
  cut.toSorted((a, b) => widths[a] - widths[b]).forEach((c, i) => {
    widths[c] = Math.min(widths[c], Math.floor(left / (cut.length - i)));
    left -= widths[c];
  });
  const line = (cells: string[]) => {
    const parts = cells.map((text, c) =>
      specs[c].wrap ? wrapText(text, widths[c]) : [specs[c].cut ? cutText(text, widths[c]) : text]
    );
    const height = Math.max(...parts.map((part) => part.length));
    return Array.from({ length: height }, (_, i) =>
      parts.map((part, c) => {
        const text = part[i] ?? "",
          space = " ".repeat(Math.max(0, widths[c] - displayWidth(text)));
        return right[c] ? space + text : text + space;
      }).join(" ".repeat(gap)).trimEnd()).join("\n");
  };
  return [
    line(titles.map((title, c) => specs[c].cut ? cutText(title, widths[c]) : title)),
    widths.map((w) => "-".repeat(w)).join(" ".repeat(gap)),
    ...texts.map(line),
  ].join("\n");
}

/** Columns of the terminal, at least 60; 110 where there is none. */
export function terminalWidth(): number {
  try {
    return Deno.stdout.isTerminal() ? Math.max(60, Deno.consoleSize().columns) : 110;
  } catch {
    return 110;
  }
}
