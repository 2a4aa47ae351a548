import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { csvText, formatCsv, numberOf, optionalNumber, parseCsv, readCsv, writeCsv } from "./csv.ts";

describe("formatCsv() and parseCsv()", () => {
  it("write and read back every awkward field", () => {
    const texts = [
      "plain",
      "",
      "a,b",
      'say "x"',
      "two\nlines",
      "#not a comment",
      " spaced ",
      "ü ≤ ℤ",
      "12e4567",
    ];
    const rows = texts.map((text, i) => ({ text, other: String(i) }));
    const csv = formatCsv(["text", "other"], rows, ["source: a test", "second"]);
    const table = parseCsv(csv);
    assertEquals(table.comments, ["source: a test", "second"]);
    assertEquals(table.columns, ["text", "other"]);
    assertEquals(table.rows, rows);
    assertEquals(parseCsv("\ufeff" + csv.replaceAll("\n", "\r\n")).rows[4], {
      text: "two\r\nlines",
      other: "4",
    });
  });
  it("write numbers with sensible digits", () => {
    const values = [
      1093,
      2 ** 53 - 1,
      1 / 3,
      1234567.891,
      3.0000001e-9,
      -0.5,
      NaN,
      true,
      undefined,
      18446744073709551616n,
    ];
    assertEquals(values.map(csvText), [
      "1093",
      "9007199254740991",
      "0.333333",
      "1234570",
      "3e-9",
      "-0.5",
      "",
      "true",
      "",
      "18446744073709551616",
    ]);
  });
  it("name the line of a mistake", () => {
    assertThrows(
      () => parseCsv("# c\na,b\n1,2\n3\n", "x.csv"),
      SyntaxError,
      "x.csv, line 4: 1 fields, but the header has 2",
    );
    assertThrows(() => parseCsv('a,b\n"1,2\n'), SyntaxError, "line 2: a quoted field is not closed");
    assertThrows(() => parseCsv('a,b\n"1"x,2\n'), SyntaxError, "text after a closing quote");
    assertThrows(() => parseCsv("# only a comment\n"), SyntaxError, "no header row");
  });
  it("refuse values without a column", () => {
    assertThrows(() => formatCsv(["a"], [{ a: 1, b: 2 }]), TypeError, '"b"');
    assertThrows(() => formatCsv(["a", "a"], []), TypeError, "not distinct");
  });
});

describe("numberOf()", () => {
  it("reads numbers and says what is wrong otherwise", () => {
    const row = { a: "1.5e-3", b: "", c: "x" };
    assertEquals([numberOf(row, "a"), optionalNumber(row, "b"), optionalNumber(row, "z")], [
      0.0015,
      undefined,
      undefined,
    ]);
    assertThrows(() => numberOf(row, "b"), RangeError, "where a number is expected");
    assertThrows(() => numberOf(row, "c"), RangeError, '"x"');
    assertThrows(() => numberOf(row, "z"), RangeError, 'no column "z"');
  });
});

describe("writeCsv() and readCsv()", () => {
  it("replace a file and leave no temporary file behind", async () => {
    const folder = await Deno.makeTempDir(), path = `${folder}/x.csv`;
    try {
      assertEquals(await readCsv(path), undefined);
      for (const n of [1, 2]) writeCsv(path, ["n"], [{ n }]);
      assertEquals((await readCsv(path))?.rows, [{ n: "2" }]);
      assertEquals([...Deno.readDirSync(folder)].map((entry) => entry.name), ["x.csv"]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
});
