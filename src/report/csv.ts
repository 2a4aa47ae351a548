/**
 * CSV files of results: RFC 4180 with a header row, `\n` line ends, and comment lines that begin with `#`
 * (where the numbers come from) before the header. Files are replaced as a whole, by a rename, so that a
 * reader or an interruption never meets half a file. Values are read as text: a commit such as `12e4567`
 * must not turn into a number. Use {@linkcode numberOf} where a number is meant.
 */
import { replaceFile } from "../files/replace_file.ts";

/** A row as read: text by column name. */
export type Row = Readonly<Record<string, string>>;
/** A value to be written; absent values become empty fields. */
export type CsvValue = string | number | bigint | boolean | null | undefined;
/** A row to be written. */
export type NewRow = Readonly<Record<string, CsvValue>>;

/** Contents of a CSV file. */
export interface CsvTable {
  /** Comment lines without their `#`. */
  readonly comments: readonly string[];
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
}

/**
 * Writes a value as a field: integers in full, other numbers with six significant digits. Give text where
 * more digits matter.
 */
export function csvText(value: CsvValue): string {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number" || Number.isSafeInteger(value)) return String(value);
  return Number.isFinite(value) ? String(Number(value.toPrecision(6))) : "";
}

function field(text: string, first: boolean): string {
  // A first field that looks like a comment line is quoted as well.
  return /[",\r\n]|^\s|\s$/.test(text) || (first && text.startsWith("#"))
    ? `"${text.replaceAll('"', '""')}"`
    : text;
}

/**
 * Formats rows as CSV.
 *
 * @throws {TypeError} if a row has a value that no column takes
 */
export function formatCsv(
  columns: readonly string[],
  rows: readonly NewRow[],
  comments: readonly string[] = [],
): string {
  const known = new Set(columns);
  if (known.size !== columns.length) {
    throw new TypeError(`CSV columns are not distinct: ${columns.join(", ")}`);
  }
  for (const row of rows) {
    const stray = Object.keys(row).find((key) => !known.has(key));
    if (stray !== undefined) {
      throw new TypeError(
        `row has a value for "${stray}", which is not a column; columns are ${columns.join(", ")}`,
      );
    }
  }
  const line = (fields: string[]) => fields.map((text, i) => field(text, i === 0)).join(",") + "\n";
  return comments.map((comment) => `# ${comment}\n`).join("") + line([...columns]) +
    rows.map((row) => line(columns.map((column) => csvText(row[column])))).join("");
}

/**
 * Reads CSV text.
 *
 * @throws {SyntaxError} with the line, if a row does not fit the header or a quote is left open
 */
export function parseCsv(text: string, name = "CSV"): CsvTable {
  const comments: string[] = [], records: { fields: string[]; line: number }[] = [];
  let at = text.startsWith("\ufeff") ? 1 : 0, line = 1;
  while (at < text.length) {
    if (text[at] === "#") {
      const end = text.indexOf("\n", at), stop = end < 0 ? text.length : end;
      comments.push(text.slice(at + 1, stop).trim());
      at = stop + 1;
      line++;
      continue;
    }
    const fields: string[] = [], start = line;
    for (let more = true; more;) {
      let value = "";
      if (text[at] === '"') {
        at++;
        for (;;) {
          const quote = text.indexOf('"', at);
          if (quote < 0) throw new SyntaxError(`${name}, line ${start}: a quoted field is not closed`);
          value += text.slice(at, quote);
          at = quote + 1;
          if (text[at] !== '"') break;
          value += '"';
          at++;
        }
        line += value.split("\n").length - 1;
      } else {
        const end = /[,\r\n]|$/g;
        end.lastIndex = at;
        const stop = end.exec(text)!.index;
        value = text.slice(at, stop);
        at = stop;
      }
      fields.push(value);
      more = text[at] === ",";
      if (more) at++;
      else if (text.startsWith("\r\n", at)) at += 2;
      else if (text[at] === "\n" || text[at] === "\r") at++;
      else if (at < text.length) throw new SyntaxError(`${name}, line ${line}: text after a closing quote`);
    }
    line++;
    if (fields.length > 1 || fields[0] !== "") records.push({ fields, line: start });
  }
  const [header, ...body] = records;
  if (!header) throw new SyntaxError(`${name} has no header row`);
  const columns = header.fields;
  const rows = body.map(({ fields, line }) => {
    if (fields.length !== columns.length) {
      throw new SyntaxError(
        `${name}, line ${line}: ${fields.length} fields, but the header has ${columns.length}`,
      );
    }
    return Object.fromEntries(columns.map((column, i) => [column, fields[i]]));
  });
  return { comments, columns, rows };
}

/** Reads a CSV file; `undefined` if there is none. */
export async function readCsv(path: string): Promise<CsvTable | undefined> {
  try {
    return parseCsv(await Deno.readTextFile(path), path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Replaces a CSV file as a whole. */
export function writeCsv(
  path: string,
  columns: readonly string[],
  rows: readonly NewRow[],
  comments: readonly string[] = [],
): void {
  replaceFile(path, formatCsv(columns, rows, comments));
}

/**
 * The number in a column of a row.
 *
 * @throws {RangeError} if the column is absent, empty or not a number
 */
export function numberOf(row: Row, column: string): number {
  const text = row[column], value = Number(text);
  if (text === undefined) {
    throw new RangeError(`there is no column "${column}"; columns are ${Object.keys(row).join(", ")}`);
  }
  if (text.trim() === "" || Number.isNaN(value)) {
    throw new RangeError(`column "${column}" holds "${text}" where a number is expected`);
  }
  return value;
}

/** The number in a column of a row, or `undefined` if the field is absent or empty. */
export function optionalNumber(row: Row, column: string): number | undefined {
  return row[column] === undefined || row[column] === "" ? undefined : numberOf(row, column);
}
