/** What was left out or changed on the way from a user's folder: said, and not in the way of results on standard output. */
import type { Dataset } from "../data/dataset.ts";

export function reportNotes({ notes = [] }: Pick<Dataset, "notes">): void {
  for (const note of notes) console.error(`note: ${note}`);
}
