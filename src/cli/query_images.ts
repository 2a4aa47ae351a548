/** The images that a client asks about: one from an image file, many from a list, or a seeded random one. */
import type { Graph } from "../models/graph.ts";
import { seededImage } from "../models/weights.ts";
import { UsageError } from "./command.ts";

/** Query i takes image i, from the start again after the last. */
export interface QueryImages {
  readonly images: readonly Float32Array[];
  /** What was done to an image file of another size than the network's; null: nothing. */
  readonly note: string | null;
}

export async function imagesFrom(
  { image, images, seed }: {
    readonly image: string | undefined;
    readonly images: string | undefined;
    readonly seed: number;
  },
  graph: Graph,
): Promise<QueryImages> {
  if (image !== undefined && images !== undefined) {
    throw new UsageError("--image and --images were both given; give one");
  }
  if (images !== undefined) {
    const { readImageList } = await import("../data/image_list.ts");
    return { images: await readImageList(images, graph.inputShape), note: null };
  }
  if (image === undefined) return { images: [seededImage(graph, seed)], note: null };
  // The decoders are loaded only when there is something to decode.
  const { readImage } = await import("../data/image_file.ts");
  const { pixels, scaledFrom } = await readImage(image, graph.inputShape), [height, width] = graph.inputShape;
  const note = scaledFrom === null
    ? null
    : `${image} has ${scaledFrom} pixels, scaled and cropped to ${width} x ${height} as in training`;
  return { images: [pixels], note };
}
