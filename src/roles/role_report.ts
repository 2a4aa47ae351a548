/** How a role reports: a JSON line for the program that started it, a sentence for a person. */
import process from "node:process";
import { visible } from "../terminal/visible.ts";

export function reportLine(json: boolean, value: unknown, sentence: string): void {
  console.log(json ? JSON.stringify(value) : sentence);
}

/** On Linux a process begins with the peak of the one that started it, which may hold a network and its images. */
const inheritedKB = process.resourceUsage().maxRSS;

/** Largest resident memory of this process so far, in MB (2^20 bytes); where it is below what was inherited, that of now. */
export function peakRssMB(): number {
  const { maxRSS } = process.resourceUsage();
  return Math.round((maxRSS > inheritedKB ? maxRSS : Deno.memoryUsage().rss / 1024) / 1024);
}

/** Lines of a role that serves others, with time and level; they name addresses, sessions and counts, never a value. */
export interface Log {
  info(text: string): void;
  warn(text: string): void;
}

/** Lines in a stretch of time; of more a log gives the number, so that no flood of strangers or clients fills a disk. */
const MOST_WARNINGS = 20, MOST_NEWS = 200, STRETCH_MS = 5000;

/** On the output stream, or with `json`, whose lines another program reads, all on the error stream. */
export function logOf(role: string, json: boolean): Log {
  const line = (level: string, text: string) =>
    `${new Date().toISOString()} ${level} ${role}: ${visible(text)}`;
  return {
    info: sparingly((text) => (json ? console.error : console.log)(line("info", text)), MOST_NEWS),
    warn: sparingly((text) => console.error(line("warn", text)), MOST_WARNINGS),
  };
}

/** Writes the first lines of each stretch, and at its end how many more there were. */
export function sparingly(
  write: (text: string) => void,
  most: number,
  stretchMs = STRETCH_MS,
): (text: string) => void {
  let count = 0;
  const sum = () => {
    if (count > most) write(`${count - most} more lines in ${stretchMs / 1000} s`);
    count = 0;
  };
  return (text) => {
    if (count++ === 0) Deno.unrefTimer(setTimeout(sum, stretchMs));
    if (count <= most) write(text);
  };
}

/** Option of the roles: a life for one session, as `infer` gives them. */
export const ONCE_OPTION = {
  type: "boolean",
  excludes: ["sessions", "clients"],
  help: "end with the first session, whose failure is that of the command",
} as const;

/** Option of a role that another program starts; see {@linkcode tokensFromParent}. */
export const WITH_PARENT_OPTION = {
  type: "boolean",
  help: "read the tokens from standard input, and end when that ends, as it does when its holder is killed",
  hidden: true,
} as const;

let tokens: Promise<Record<string, string>> | undefined;

/**
 * The tokens for the other two roles, the first line that the program says which started this one: they are in no file that could be
 * left behind, and among no arguments, which all users of a machine see. Ends this process when that program is gone.
 */
export function tokensFromParent(): Promise<Record<string, string>> {
  const { promise, resolve } = Promise.withResolvers<Record<string, string>>();
  const read = async () => {
    let text = "";
    for await (const part of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
      text += part;
      if (text.includes("\n")) resolve(JSON.parse(text.split("\n")[0]));
    }
    Deno.exit(1);
  };
  if (tokens === undefined) void read();
  return tokens ??= promise;
}
