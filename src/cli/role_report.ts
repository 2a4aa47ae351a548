/** How a role reports: a JSON line for the program that started it, a sentence for a person. */
import process from "node:process";

export function reportLine(json: boolean, value: unknown, sentence: string): void {
  console.log(json ? JSON.stringify(value) : sentence);
}

/** Largest resident memory of this process so far, in MB (2^20 bytes). */
export const peakRssMB = (): number => Math.round(process.resourceUsage().maxRSS / 1024);

/** Option of a role that another program starts; see {@linkcode endWithParent}. */
export const WITH_PARENT_OPTION = {
  type: "boolean",
  help: "end when standard input ends, as it does when the program that holds it is killed",
  hidden: true,
} as const;

/** Ends this process when the one that started it is gone. */
export async function endWithParent(): Promise<void> {
  for await (const _ of Deno.stdin.readable);
  Deno.exit(1);
}
