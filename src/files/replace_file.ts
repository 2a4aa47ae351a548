/**
 * Replaces a file as a whole: readers see the old or the new one, also after an interruption. Synchronous, so that no signal
 * handler ends the process between the two steps. What a kill leaves behind carries a name of its own and ends in `.tmp`.
 */
export function replaceFile(path: string, data: string | Uint8Array): void {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    Deno.writeFileSync(temporary, typeof data === "string" ? new TextEncoder().encode(data) : data);
    Deno.renameSync(temporary, path);
  } catch (error) {
    try {
      Deno.removeSync(temporary);
    } catch {
      // It was never made.
    }
    throw error;
  }
}
