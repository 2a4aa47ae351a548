/**
 * Documents are typed by hand but for the parts that code or CSVs already know: what stands between
 * `<!-- NAME, written by deno task documents -->` and `<!-- end of NAME -->`.
 */

/** What writes each part, by its name. */
export type Parts = Readonly<Record<string, () => string>>;

const MARKED =
  /(<!-- (?<name>[\w-]+), written by deno task documents -->\n)(?:[\s\S]*?\n)??(<!-- end of \k<name> -->)/g;

/** A document with its written parts written again. */
export function withParts(text: string, parts: Parts, name: string): string {
  return text.replace(MARKED, (_, start: string, part: string, end: string) => {
    const write = parts[part];
    if (write === undefined) {
      throw new RangeError(
        `${name} asks for a part "${part}" that nothing writes; there are ${Object.keys(parts).join(", ")}`,
      );
    }
    return `${start}\n${write()}\n\n${end}`;
  });
}
