/** Labels that do not lie on one another. */

/** A text of `width`, centred at `x`, whose lower edge is at `y` (downwards, as on a canvas). */
export interface Label {
  readonly text: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

/** The same labels, of `height` each, moved up where they would touch: the lowest stay, the next make room. */
export function apart(labels: readonly Label[], height: number): Label[] {
  const placed: Label[] = [];
  for (const label of labels.toSorted((a, b) => b.y - a.y)) {
    const under = (y: number) =>
      placed.find((other) =>
        Math.abs(other.x - label.x) < (other.width + label.width) / 2 && Math.abs(other.y - y) < height
      );
    let y = label.y;
    for (let other = under(y); other; other = under(y)) y = other.y - height;
    placed.push({ ...label, y });
  }
  return placed;
}
