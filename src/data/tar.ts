/** The files of a tar archive (POSIX ustar), one after the other. */

/** A file in an archive. */
export interface TarFile {
  /** Path in the archive. */
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const BLOCK = 512;
/** Where a header has what, as [from, to). */
const NAME = [0, 100], SIZE = [124, 136], CHECKSUM = [148, 156], TYPE = 156;

/**
 * Reads an archive; folders, links and extended headers are passed over. Every file is held in memory.
 *
 * @throws {Error} if the stream is no tar archive or ends too early
 */
export async function* readTar(stream: ReadableStream<Uint8Array>): AsyncGenerator<TarFile> {
  const fill = filler(stream), header = new Uint8Array(BLOCK);
  // An archive ends with blocks of zeros.
  while (await fill(header) && header.some((byte) => byte !== 0)) {
    if (checksumOf(header) !== octal(header, CHECKSUM)) throw new Error("it is not a tar archive");
    const name = text(header, NAME), bytes = new Uint8Array(octal(header, SIZE));
    if (!await fill(bytes)) throw new Error(`it ends in the middle of ${name}`);
    await fill(new Uint8Array((BLOCK - bytes.length % BLOCK) % BLOCK));
    if (header[TYPE] === 0 || header[TYPE] === "0".charCodeAt(0)) yield { name, bytes };
  }
}

/** A function that fills a buffer from the stream and says whether there was enough to fill it. */
function filler(stream: ReadableStream<Uint8Array>): (target: Uint8Array) => Promise<boolean> {
  const reader = stream.getReader();
  let chunk = new Uint8Array();
  return async (target) => {
    for (let filled = 0; filled < target.length;) {
      if (chunk.length === 0) {
        const { value, done } = await reader.read();
        if (done) return false;
        chunk = value as Uint8Array<ArrayBuffer>;
      }
      const part = chunk.subarray(0, target.length - filled);
      target.set(part, filled);
      filled += part.length;
      chunk = chunk.subarray(part.length);
    }
    return true;
  };
}

const text = (header: Uint8Array, [from, to]: number[]) =>
  new TextDecoder().decode(header.subarray(from, to)).replace(/\0.*$/s, "");
const octal = (header: Uint8Array, field: number[]) => parseInt(text(header, field).trim(), 8);

/** Sum of the header's bytes, those of the checksum itself counted as spaces. */
function checksumOf(header: Uint8Array): number {
  return header.reduce((sum, byte, i) => sum + (i >= CHECKSUM[0] && i < CHECKSUM[1] ? 32 : byte), 0);
}
