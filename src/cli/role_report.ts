/** How a role reports: a JSON line for the program that started it, a sentence for a person. */
import process from "node:process";

export function reportLine(json: boolean, value: unknown, sentence: string): void {
  console.log(json ? JSON.stringify(value) : sentence);
}

/** Largest resident memory of this process so far, in MB (2^20 bytes). */
export const peakRssMB = (): number => Math.round(process.resourceUsage().maxRSS / 1024);
