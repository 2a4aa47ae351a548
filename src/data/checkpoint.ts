/**
 * Checkpoints on disk: groups of tensors and a description in one safetensors file, so that one rename
 * replaces all of it. Whoever is ended at any moment leaves the old checkpoint or the new one.
 */
import type { FloatTensor, Weights } from "../models/graph.ts";
import { readFileSync } from "../files/read_file.ts";
import { replaceFile } from "../files/replace_file.ts";
import { readSafetensors, writeSafetensors } from "../models/safetensors.ts";

/** What a checkpoint holds. */
export interface StoredCheckpoint {
  /** Named tensors by group, for example `weights` and `momentum`. */
  readonly groups: Readonly<Record<string, Weights>>;
  /** Anything that JSON can hold. */
  readonly description: unknown;
}

const FIELD = "checkpoint";

/** Replaces the file `path` by this checkpoint. */
export function writeCheckpoint(path: string, { groups, description }: StoredCheckpoint): void {
  const tensors = new Map<string, FloatTensor>();
  for (const [group, weights] of Object.entries(groups)) {
    for (const [name, tensor] of weights) tensors.set(`${group}/${name}`, tensor);
  }
  replaceFile(path, writeSafetensors(tensors, { [FIELD]: JSON.stringify(description) }));
}

/**
 * Reads a checkpoint; undefined if there is no such file.
 *
 * @throws {Error} that names the file and what is wrong with it
 */
export function readCheckpoint(path: string): StoredCheckpoint | undefined {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  try {
    return decode(bytes);
  } catch (error) {
    throw new Error(`${path} is no usable checkpoint: ${(error as Error).message}`);
  }
}

function decode(bytes: Uint8Array): StoredCheckpoint {
  const { weights, metadata } = readSafetensors(bytes), text = metadata.get(FIELD);
  if (text === undefined) throw new SyntaxError(`it has no field "${FIELD}"`);
  const groups: Record<string, Map<string, FloatTensor>> = {};
  for (const [path, tensor] of weights) {
    const slash = path.indexOf("/");
    (groups[path.slice(0, slash)] ??= new Map()).set(path.slice(slash + 1), tensor);
  }
  return { groups, description: JSON.parse(text) };
}
