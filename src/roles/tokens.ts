/** Secrets of pairs of roles that trust this machine, and nothing else, to keep them. */
import { type RoleName, ROLES, type Tokens } from "./endpoint.ts";

/** A fresh token for every pair, as each role has to know them. */
export function pairTokens(): Record<RoleName, Tokens> {
  const tokens: Record<RoleName, Record<string, string>> = { server: {}, client: {}, dealer: {} };
  ROLES.forEach((one, i) => {
    for (const other of ROLES.slice(i + 1)) {
      tokens[one][other] = tokens[other][one] = crypto.getRandomValues(new Uint8Array(32)).toHex();
    }
  });
  return tokens;
}
