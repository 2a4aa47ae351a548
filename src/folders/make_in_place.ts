/** Folders that several processes may make at once, and read as soon as they are there. */
import { isThere } from "../files/is_there.ts";

/**
 * Makes a folder under a name of its own and renames it, unless somebody has made the same one meanwhile, who may be reading it. The
 * renaming is synchronous, so that no signal comes between.
 *
 * @param last the file that is written last: a folder without it was cut short
 */
export async function makeInPlace(
  folder: string,
  last: string,
  make: (own: string) => Promise<void>,
): Promise<void> {
  const own = `${folder}-${crypto.randomUUID()}`;
  try {
    await make(own);
    if (isThere(folder) && !isThere(`${folder}/${last}`)) Deno.removeSync(folder, { recursive: true });
    if (!isThere(folder)) Deno.renameSync(own, folder);
  } catch (error) {
    if (!isThere(`${folder}/${last}`)) throw error;
  } finally {
    if (isThere(own)) Deno.removeSync(own, { recursive: true });
  }
}
