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

export function cannotWrite(folder: string, { message }: Error): Error {
  // The runtime repeats the path after its reason.
  const reason = message.replace(/ \(os error \d+\).*$|: \w+ '.*$/s, "");
  return new Error(`cannot write to the folder ${folder}: ${reason}; make it writable, or give another one`);
}
