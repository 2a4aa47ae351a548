/** How a role reports: a JSON line for the program that started it, a sentence for a person. */
import process from "node:process";

export function reportLine(json: boolean, value: unknown, sentence: string): void {
  console.log(json ? JSON.stringify(value) : sentence);
}

/** Largest resident memory of this process so far, in MB (2^20 bytes). */
export const peakRssMB = (): number => Math.round(process.resourceUsage().maxRSS / 1024);

/** Option of a role that another program starts; see {@linkcode tokenFromParent}. */
export const WITH_PARENT_OPTION = {
  type: "boolean",
  help:
    "read the session token from standard input, and end when that ends, as it does when its holder is killed",
  hidden: true,
} as const;

let token: Promise<string> | undefined;

/**
 * The session token, the first line that the program says which started this one: it is in no file that could be left behind,
 * and among no arguments, which all users of a machine see. Ends this process when that program is gone.
 */
export function tokenFromParent(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const read = async () => {
    let text = "";
    for await (const part of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
      text += part;
      if (text.includes("\n")) resolve(text.split("\n")[0]!);
    }
    Deno.exit(1);
  };
  if (token === undefined) void read();
  return token ??= promise;
}
