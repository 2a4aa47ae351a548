import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { formatNumber, formatTable } from "./table.ts";

describe("formatNumber()", () => {
  it("keeps about four digits and all integers", () => {
    const values = [
      0,
      12345678,
      -3,
      3.14159,
      0.012345,
      123.456,
      98765.4321,
      1.5e-7,
      2e10 + 0.5,
      NaN,
    ];
    assertEquals(values.map((v) => formatNumber(v)), [
      "0",
      "12345678",
      "-3",
      "3.142",
      "0.01235",
      "123.5",
      "98765",
      "1.5e-7",
      "2e10",
      "NaN",
    ]);
  });
});

describe("formatTable()", () => {
  it("aligns numbers to the right and text to the left", () => {
    const rows = [{ model: "resnet18", exchanges: 38 }, {
      model: "vgg",
      exchanges: 1093,
    }];
    assertEquals(formatTable(rows).split("\n"), [
      "model     exchanges",
      "--------  ---------",
      "resnet18         38",
      "vgg            1093",
    ]);
  });
  it("wraps the columns that say so", () => {
    const rows = [{
      id: 1,
      sentence: "a sentence that is too long for the line",
    }];
    assertEquals(
      formatTable(rows, ["id", { key: "sentence", wrap: true }], 26).split(
        "\n",
      ),
      [
        "id  sentence",
        "--  ----------------------",
        " 1  a sentence that is too",
        "    long for the line",
      ],
    );
  });
});
