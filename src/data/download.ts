/** Download of one file that may be interrupted at any time: what has come so far is kept and gone on with. */
import { createHash } from "node:crypto";

/** Called as bytes arrive; `total` is undefined where the server does not tell it. */
export type OnProgress = (done: number, total: number | undefined) => void;

/**
 * Downloads `url` to `path`, by way of `<path>.part`, which an interrupted download leaves for the next one.
 * A file that is already there and has the right checksum is left alone.
 *
 * @param md5 checksum of the whole file, in hexadecimal
 * @param patienceMs how long the server may send nothing
 * @throws {Error} one sentence: no connection, an answer other than the file, an early end, a wrong checksum
 */
export async function download(
  url: string,
  path: string,
  md5: string,
  onProgress: OnProgress = () => {},
  patienceMs = 60_000,
): Promise<void> {
  if (await md5Of(path) === md5) return;
  const part = `${path}.part`;
  await fetchRest(url, part, onProgress, patienceMs);
  const actual = await md5Of(part);
  if (actual !== md5) {
    await Deno.remove(part);
    throw new Error(
      `the file from ${url} has the MD5 ${actual} instead of ${md5} and was removed; run the same command again`,
    );
  }
  await Deno.rename(part, path);
}

/** Appends to `part` what it lacks. */
async function fetchRest(
  url: string,
  part: string,
  onProgress: OnProgress,
  patienceMs: number,
): Promise<void> {
  const have = await sizeOf(part);
  using silence = new Silence(patienceMs);
  let response: Response;
  try {
    response = await fetch(url, { headers: { range: `bytes=${have}-` }, signal: silence.signal });
  } catch (error) {
    // The cause says why, after naming the address once more.
    const { message, cause } = error as Error;
    const reason = cause instanceof Error ? cause.message.replace(/^.*? for url \(.*?\): /, "") : message;
    throw new Error(`cannot reach ${url}: ${reason}`);
  }
  // "Range not satisfiable": nothing is missing, or too much is there; the checksum decides.
  if (response.status === 416 && have > 0) return await response.body?.cancel();
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    throw new Error(`${url} answered ${response.status} ${response.statusText}`.trimEnd());
  }
  // A server that knows no ranges answers 200 and sends all of it.
  const start = response.status === 206 ? have : 0, length = response.headers.get("content-length");
  const total = length === null ? undefined : start + Number(length);
  let done = start, reason = "";
  const file = await Deno.open(part, {
    create: true,
    ...(start > 0 ? { append: true } : { write: true, truncate: true }),
  });
  const writer = file.writable.getWriter();
  try {
    // One chunk at a time, so that nothing is lost that has come before the connection breaks.
    for await (const chunk of response.body) {
      silence.isBroken();
      await writer.write(chunk);
      onProgress(done += chunk.length, total);
    }
  } catch (error) {
    reason = `: ${(error as Error).message}`;
  }
  // After a write that failed closing fails as well, and says less.
  await writer.close().catch((error: Error) => reason ||= `: ${error.message}`);
  if (reason !== "" || (total !== undefined && done < total)) {
    const bytes = `${done}${total === undefined ? "" : ` of ${total}`} bytes`;
    throw new Error(
      `the download of ${url} stopped after ${bytes}${reason}; run the same command again to go on from there`,
    );
  }
}

/** Ends what waits for a server that has sent nothing for a time. */
class Silence {
  readonly #controller = new AbortController();
  readonly #ms: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ms: number) {
    this.#ms = ms;
    this.isBroken();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  isBroken(): void {
    clearTimeout(this.#timer);
    const reason = new Error(`nothing came for ${Math.round(this.#ms / 1000)} s`);
    this.#timer = setTimeout(() => this.#controller.abort(reason), this.#ms);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await Deno.stat(path)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

/** MD5 in hexadecimal; undefined for a file that is not there. */
async function md5Of(path: string): Promise<string | undefined> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const hash = createHash("md5");
  for await (const chunk of file.readable) hash.update(chunk);
  return hash.digest("hex");
}
