/** The images that a client asks about: one, from an image file, the drawn shapes or a seed; or many, each of them once. */
import { dirname } from "node:path";
import { normalise, sliceSplit } from "../data/dataset.ts";
import { type ModelDescription, readModelDescription } from "../data/model_folder.ts";
import { decodedShape, inFormat, ownFormat, type PixelFormat } from "../data/pixel_format.ts";
import { checkClassNames } from "../folders/training_folder.ts";
import type { Graph } from "../models/graph.ts";
import { seededImage } from "../models/weights.ts";
import { UsageError } from "../terminal/command.ts";
import { DEFAULT_SEED } from "./inference_options.ts";

export interface QueryImages {
  readonly images: readonly Float32Array[];
  /** By which the answers about many images are told apart; null: there is one image, asked about as often as wanted. */
  readonly names: readonly string[] | null;
  /** What the images show, where that is known. */
  readonly labels: readonly number[] | null;
  /** What was done to image files or left out, in sentences; null: nothing. */
  readonly note: string | null;
}

/** Options that say which images. At most one of `image`, `images`, `drawn` and `dataset` is given. */
export interface ImageChoice {
  readonly image: string | undefined;
  readonly drawn: number | undefined;
  readonly seed: number | undefined;
  readonly images?: string | undefined;
  readonly labels?: string | undefined;
  readonly dataset?: string | undefined;
  readonly data?: string | undefined;
  readonly limit?: number | undefined;
  readonly mirror?: boolean;
}

/** Images of a query: an image and its mirror image are two, which travel together. */
export function batchFrom(
  { batch, mirror }: { readonly batch: number | undefined; readonly mirror: boolean },
) {
  if (mirror && batch !== undefined && batch % 2 !== 0) {
    throw new UsageError(
      `--mirror asks about an image and its mirror image together, so --batch must be even, not ${batch}`,
    );
  }
  return mirror ? batch ?? 2 : batch;
}

/** The network that the images are for; what its classes are called, where it is known. */
interface Asked {
  readonly graph: Graph;
  readonly folder?: string | null;
  readonly classNames?: readonly string[];
  /** How the network takes pictures; asked for only where there is one. */
  pixels(): PixelFormat | Promise<PixelFormat>;
}

export async function imagesFrom(choice: ImageChoice, asked: Asked): Promise<QueryImages> {
  const { image, images, drawn, seed, dataset } = choice, { graph } = asked;
  if (images !== undefined) return await listedImages(images, choice, asked);
  if (dataset !== undefined) return await testImages(dataset, choice, asked);
  const one = { names: null, note: null, labels: null };
  if (drawn !== undefined) return { ...one, ...await drawnPicture(drawn, graph, await asked.pixels()) };
  if (image === undefined) return { ...one, images: [seededImage(graph, seed ?? DEFAULT_SEED)] };
  // The decoders are loaded only when there is something to decode.
  const { readImage } = await import("../data/image_file.ts");
  const shown = await readImage(image, graph.inputShape, await asked.pixels()),
    [height, width] = graph.inputShape;
  const note = shown.scaledFrom === null
    ? null
    : `${image} has ${shown.scaledFrom} pixels, scaled and cropped to ${width} x ${height} as in training`;
  return { ...one, images: [shown.pixels], note };
}

/** Whether many images are asked about, each of them once. */
export const asksMany = ({ images, dataset }: Pick<ImageChoice, "images" | "dataset">): boolean =>
  images !== undefined || dataset !== undefined;

const joined = (notes: readonly string[]): string | null => notes.length === 0 ? null : notes.join("; ");

async function listedImages(
  path: string,
  { labels: labelFile, limit }: ImageChoice,
  { graph, classNames, pixels }: Asked,
): Promise<QueryImages> {
  const { readNamedImages } = await import("../data/named_images.ts");
  const { images, names, available, notes } = await readNamedImages(path, graph.inputShape, {
    pixels,
    limit,
  });
  let labels: number[] | null = null;
  if (labelFile !== undefined) {
    const { readLabels } = await import("../data/label_list.ts");
    labels = await readLabels(labelFile, available, { classes: graph.classes, classNames });
  }
  return { images, names, labels: labels?.slice(0, limit) ?? null, note: joined(notes) };
}

/** The test images of a dataset, which brings their classes. */
async function testImages(
  name: string,
  { data, limit }: ImageChoice,
  { graph, folder, classNames, pixels }: Asked,
): Promise<QueryImages> {
  const { openDataset } = await import("../data/open_dataset.ts"),
    { classes } = graph,
    shape = decodedShape(graph.inputShape);
  // Of training images as few as a dataset can have.
  const opened = await openDataset(name, { folder: data, shape, classes, limit: { train: 1, test: limit } });
  const dataset = inFormat(opened, await pixels());
  if (folder) checkClassNames(folder, classNames, dataset);
  const { test, notes = [] } = dataset, numbers = Array.from({ length: test.count }, (_, i) => i);
  return {
    images: numbers.map((i) => normalise(sliceSplit(test, i, i + 1).images, dataset)),
    names: numbers.map(String),
    labels: [...test.labels],
    note: joined(notes),
  };
}

/** How the network in a folder takes pictures. */
export const pixelsOf =
  ({ model, pixels }: ModelDescription, { inputShape }: Graph, graphFile: string | undefined) =>
  (): PixelFormat => {
    const format = graphFile === undefined ? ownFormat(inputShape) : pixels;
    if (format !== undefined) return format;
    throw new Error(
      `model.json has no "pixels", which say how ${model} takes pictures; give --images`,
    );
  };

/** The same for a client, who holds no weights: what stands in the file beside the graph. */
export const pixelsBeside =
  (graph: Graph, graphFile: string | undefined) => async (): Promise<PixelFormat> => {
    if (graphFile === undefined) return ownFormat(graph.inputShape);
    const description = await readModelDescription(dirname(graphFile)).catch((error) => {
      throw new Error(
        `how ${graph.name} takes pictures stands in the model.json that belongs beside ${graphFile}: ${error.message}`,
      );
    });
    return pixelsOf(description, graph, graphFile)();
  };

/** A test picture of `shapes` and what it shows. */
async function drawnPicture(index: number, { name, inputShape }: Graph, format: PixelFormat) {
  const { shapesDataset } = await import("../data/shapes.ts");
  const { test, shape, ...normalisation } = inFormat(shapesDataset({ train: 0, test: index + 1 }), format);
  if (shape.join() !== inputShape.join()) {
    throw new Error(
      `--drawn pictures have ${shape.join(" x ")} values, ${name} takes ${inputShape.join(" x ")}`,
    );
  }
  const pixels = sliceSplit(test, index, index + 1).images;
  return { images: [normalise(pixels, normalisation)], labels: [test.labels[index]] };
}
