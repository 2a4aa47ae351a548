/** The claims section of ARTIFACT.md: every claim with its verdict on the committed rows. */
import { type CheckedClaim, subjects } from "../report/claims.ts";
import { summarise } from "../report/html.ts";
import { list, paragraph } from "./markdown.ts";
import type { Sources } from "./sources.ts";

export function claimsPart({ claims }: Sources): string {
  const sections = subjects.map((
    { title, claims: own },
  ) => [`### ${title}`, ...own.map(({ id, size }) => entry(claims.find((claim) => claim.id === id)!, size))]);
  return [paragraph(`In the committed results ${summarise(claims)}`), ...sections.flat()].join("\n\n");
}

function entry(claim: CheckedClaim, size = "any"): string {
  const { id, source, experiment, sentence, expected, tolerance, measured, verdict, refuted } = claim;
  const least = size === "any" || size === "full" ? size : `${size} or more`;
  return [
    paragraph(`**\`${id}\`** (${source}; \`${experiment}\`, size ${least}). ${sentence}`),
    list([
      `Expected: ${expected}. Accepted: ${tolerance}.`,
      `Measured: ${measured}: **${verdict}**.`,
      `Refuted by ${refuted}.`,
    ]),
  ].join("\n\n");
}
