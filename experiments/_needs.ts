/** Memory and disk of a private inference, where they are more than little. */
import type { Cell } from "../src/reproduction/experiment.ts";

/** The three processes of ResNet-50 with exact ReLU took 4.5 GB, by lifted 3.3, those of VGG-16 1.9; random networks are kept on disk. */
export function needsOf(model: string): Pick<Cell, "memoryMB" | "diskMB"> {
  if (model.startsWith("resnet50")) return { memoryMB: model === "resnet50" ? 4500 : 3400, diskMB: 105 };
  return /^(vgg|resnet18)/.test(model) ? { memoryMB: 1900, diskMB: 65 } : {};
}
