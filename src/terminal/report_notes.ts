/** What was left out or changed on the way from a user's folder: said, and not in the way of results on standard output. */
import { visible } from "./visible.ts";

export function reportNotes({ notes = [] }: { readonly notes?: readonly string[] }): void {
  for (const note of notes) console.error(`note: ${visible(note)}`);
}
