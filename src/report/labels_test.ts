import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { apart, type Label } from "./labels.ts";

const HEIGHT = 9;
const touch = (a: Label, b: Label) =>
  Math.abs(a.x - b.x) < (a.width + b.width) / 2 && Math.abs(a.y - b.y) < HEIGHT;

it("labels of neighbouring bars are moved up until none touches another", () => {
  // "227", "262", "274", "319" over bars 15 wide, as over those of ResNet-50.
  const labels = [40, 36, 34, 30].map((y, i) => ({ text: `${i}`, x: 15 * i, y, width: 18 }));
  assert(labels.some((a, i) => labels.slice(i + 1).some((b) => touch(a, b))));
  const placed = apart(labels, HEIGHT);
  assertEquals(placed.map(({ text }) => text).sort(), ["0", "1", "2", "3"]);
  placed.forEach((a, i) => placed.slice(i + 1).forEach((b) => assert(!touch(a, b), JSON.stringify([a, b]))));
});

it("labels that do not touch stay, and the lowest of those that do", () => {
  const labels = [["a", 0, 50], ["b", 0, 30], ["c", 10, 49]] as const;
  const placed = apart(labels.map(([text, x, y]) => ({ text, x, y, width: 18 })), HEIGHT);
  assertEquals(placed.map(({ text, y }) => [text, y]), [["a", 50], ["c", 41], ["b", 30]]);
});
