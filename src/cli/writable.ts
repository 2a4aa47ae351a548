/** Whether what a command will write at its end can be written: said before the work, not after it. */

/**
 * Makes the folder where it is missing.
 *
 * @throws {Error} one sentence, if nothing can be written there
 */
export function checkWritable(folder: string): void {
  try {
    Deno.mkdirSync(folder, { recursive: true });
    Deno.removeSync(Deno.makeTempFileSync({ dir: folder, prefix: ".writable-" }));
  } catch (error) {
    // The runtime repeats the path after its reason.
    const reason = (error as Error).message.replace(/ \(os error \d+\).*$|: \w+ '.*$/s, "");
    throw new Error(
      `cannot write to the folder ${folder}: ${reason}; make it writable, or have another one used`,
    );
  }
}
