/** All claims of the artifact, in the order in which they are shown. */
import { accuracyClaims } from "./accuracy_claims.ts";
import { checkClaim, type CheckedClaim, type Claim, type Data } from "./claim.ts";
import { fitClaims } from "./fit_claims.ts";
import { headlineClaims } from "./headline_claims.ts";
import { inferenceClaims } from "./inference_claims.ts";
import { trainingClaims } from "./training_claims.ts";

export * from "./claim.ts";

/** Claims by subject. */
export const subjects: readonly { readonly title: string; readonly claims: readonly Claim[] }[] = [
  { title: "The headline", claims: headlineClaims },
  { title: "Private inference", claims: inferenceClaims },
  { title: "Polynomial fit", claims: fitClaims },
  { title: "Training", claims: trainingClaims },
  { title: "Accuracy", claims: accuracyClaims },
];

export const claims: readonly Claim[] = subjects.flatMap((subject) => subject.claims);

/** Checks all claims, or those of some experiments. */
export function checkClaims(
  data: Data,
  experiments?: readonly string[],
  list: readonly Claim[] = claims,
): CheckedClaim[] {
  return list
    .filter((claim) => experiments === undefined || experiments.includes(claim.experiment))
    .map((claim) => checkClaim(claim, data));
}
