/** What images show: a text file with a line an image, in the order of the images, a class by its number or its name. */
import { readText } from "../files/read_file.ts";

/**
 * The classes of a file of labels.
 *
 * @throws {Error} one sentence that names the file and what is wrong with it
 */
export async function readLabels(
  path: string,
  images: number,
  { classes, classNames = [] }: {
    readonly classes: number;
    readonly classNames?: readonly string[] | undefined;
  },
): Promise<number[]> {
  let text: string;
  try {
    text = await readText(path);
  } catch (error) {
    throw new Error(`cannot read the labels ${path}: ${(error as Error).message}`);
  }
  const lines = text.replace(/\r?\n$/, "").split(/\r?\n/).map((line) => line.trim());
  if (lines.length !== images) {
    throw new Error(`${path} has ${lines.length} labels for ${images} images; it must have a line an image`);
  }
  return lines.map((line, i) => {
    const named = classNames.indexOf(line),
      label = named >= 0 ? named : /^\d+$/.test(line) ? Number(line) : NaN;
    if (label < classes) return label;
    const known = classNames.length === 0 ? "" : `, or a name (${classNames.join(", ")})`;
    throw new Error(
      `${path}, line ${i + 1}: "${line}" is no class; give a number from 0 to ${classes - 1}${known}`,
    );
  });
}
