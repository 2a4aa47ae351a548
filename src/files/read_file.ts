/** Files that a user names, read whole. A device is none: `/dev/zero` never ends, and would fill the memory. */

export async function readFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  refuseDevice(path);
  return await Deno.readFile(path);
}

export function readFileSync(path: string): Uint8Array<ArrayBuffer> {
  refuseDevice(path);
  return Deno.readFileSync(path);
}

export async function readText(path: string): Promise<string> {
  return new TextDecoder().decode(await readFile(path));
}

/** What else is wrong with a file is said by reading it. A pipe is read: a shell makes one of `<(command)`. */
function refuseDevice(path: string): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(path);
  } catch {
    return;
  }
  if (info.isCharDevice || info.isBlockDevice) throw new Error(`${path} is a device, not a file`);
}
