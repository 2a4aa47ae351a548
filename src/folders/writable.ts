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
    throw cannotWrite(folder, error as Error);
  }
}

export function cannotWrite(folder: string, error: Error): Error {
  // The runtime repeats the path after its reason, and asks for rights where it lets nobody write: in /proc, /sys, /dev.
  const reason = error instanceof Deno.errors.NotCapable
    ? "it is the system's"
    : error.message.replace(/ \(os error \d+\).*$|: \w+ '.*$/s, "");
  return new Error(`cannot write to the folder ${folder}: ${reason}; make it writable, or give another one`);
}
