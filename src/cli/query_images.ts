/** The images that a client asks about: one from an image file, many from a list, or a seeded random one. */
import type { Graph } from "../models/graph.ts";
import { seededImage } from "../models/weights.ts";
import { UsageError } from "./command.ts";

/** Query i takes image i, from the start again after the last. */
export async function imagesFrom(
  { image, images, seed }: {
    readonly image: string | undefined;
    readonly images: string | undefined;
    readonly seed: number;
  },
  graph: Graph,
): Promise<Float32Array[]> {
  if (image !== undefined && images !== undefined) {
    throw new UsageError("--image and --images were both given; give one");
  }
  if (images !== undefined) {
    return await (await import("../data/image_list.ts")).readImageList(images, graph.inputShape);
  }
  if (image === undefined) return [seededImage(graph, seed)];
  // Decoding takes native code: loaded only when there is something to decode.
  return [await (await import("../data/image_file.ts")).readImage(image, graph.inputShape)];
}
