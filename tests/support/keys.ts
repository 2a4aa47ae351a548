/** What the roles of the tests prove themselves by: the work of `deno task keys`, in a folder that goes with this process. */
import { certifyRoles } from "../../src/network/authority.ts";
import { KEY_FILES, type RoleName, ROLES, type Tokens } from "../../src/roles/endpoint.ts";
import { pairTokens } from "../../src/roles/tokens.ts";

const folder = Deno.makeTempDirSync();
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));

/** Of all tests of this process. */
export const TOKENS: Readonly<Record<RoleName, Tokens>> = pairTokens();

let files = 0;

/** The option that gives a role its tokens. */
export function tokensOption(tokens: Tokens): string[] {
  const path = `${folder}/${files++}.json`;
  Deno.writeTextFileSync(path, JSON.stringify(tokens), { mode: 0o600 });
  return ["--tokens", path];
}

const usual: Partial<Record<string, string[]>> = {};

/** The option that a role is started with unless a test says how it proves itself; nothing for other commands. */
export function usualTokens(name: string, args: readonly string[]): string[] {
  const role = ROLES.find((role) => role === name);
  if (role === undefined || args.includes("--tokens") || args.includes("--identity")) return [];
  return usual[role] ??= tokensOption(TOKENS[role]);
}

/** Options that give each role its certificate, of one new authority. */
export async function identityOptions(): Promise<Record<RoleName, string[]>> {
  const certified = await certifyRoles(ROLES, 1);
  return Object.fromEntries(ROLES.map((role) => {
    const path = `${folder}/${files++}`;
    Deno.mkdirSync(path);
    for (const kind of ["cert", "key", "ca"] as const) {
      Deno.writeTextFileSync(`${path}/${KEY_FILES[kind]}`, certified[role][kind], { mode: 0o600 });
    }
    return [role, ["--identity", path]];
  })) as Record<RoleName, string[]>;
}
