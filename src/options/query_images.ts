/** The images that a client asks about: from an image file, a list of many, the drawn shapes, or a seeded random one. */
import { dirname } from "node:path";
import { normalise, sliceSplit } from "../data/dataset.ts";
import { type ModelDescription, readModelDescription } from "../data/model_folder.ts";
import { inFormat, ownFormat, type PixelFormat } from "../data/pixel_format.ts";
import type { Graph } from "../models/graph.ts";
import { seededImage } from "../models/weights.ts";
import { UsageError } from "../terminal/command.ts";

/** Query i takes image i, from the start again after the last. */
export interface QueryImages {
  readonly images: readonly Float32Array[];
  /** What was done to an image file of another size than the network's; null: nothing. */
  readonly note: string | null;
  /** What the image shows, where that is known. */
  readonly label: number | null;
}

/** @param pixels how the network takes pictures; asked for only where there is one */
export async function imagesFrom(
  { image, images, drawn, seed }: {
    readonly image: string | undefined;
    readonly images: string | undefined;
    readonly drawn: number | undefined;
    readonly seed: number;
  },
  graph: Graph,
  pixels: () => PixelFormat | Promise<PixelFormat>,
): Promise<QueryImages> {
  const given = Object.entries({ image, images, drawn }).filter(([, value]) => value !== undefined);
  if (given.length > 1) {
    throw new UsageError(`${given.map(([name]) => `--${name}`).join(" and ")} were both given; give one`);
  }
  const none = { note: null, label: null };
  if (images !== undefined) {
    const { readImageList } = await import("../data/image_list.ts");
    return { images: await readImageList(images, graph.inputShape), ...none };
  }
  if (drawn !== undefined) return { ...none, ...await drawnPicture(drawn, graph, await pixels()) };
  if (image === undefined) return { images: [seededImage(graph, seed)], ...none };
  // The decoders are loaded only when there is something to decode.
  const { readImage } = await import("../data/image_file.ts");
  const shown = await readImage(image, graph.inputShape, await pixels()), [height, width] = graph.inputShape;
  const note = shown.scaledFrom === null
    ? null
    : `${image} has ${shown.scaledFrom} pixels, scaled and cropped to ${width} x ${height} as in training`;
  return { images: [shown.pixels], note, label: null };
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
  return { images: [normalise(pixels, normalisation)], label: test.labels[index]! };
}
